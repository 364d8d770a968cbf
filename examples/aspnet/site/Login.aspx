<%@ Page Language="C#" %>
<script runat="server">
    void Enter(object sender, EventArgs arguments) {
        if (password.Text == "secret") {
            Session["name"] = name.Text;
            Response.Redirect("Default.aspx");
        }
        message.Text = "This password is wrong.";
    }
</script>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Guest book</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<form runat="server">
<p>Node <%= Environment.GetEnvironmentVariable("NODE") %>. <a id="home" href="Default.aspx">Home</a>
This page was made once: <%= Guid.NewGuid() %></p>
<h1>Log in</h1>
<p id="message"><asp:Literal ID="message" runat="server" /></p>
<p>Name <asp:TextBox ID="name" runat="server" /></p>
<p>Password (it is "secret") <asp:TextBox ID="password" TextMode="Password" runat="server" /></p>
<p><asp:Button ID="enter" Text="Log in" OnClick="Enter" runat="server" /></p>
</form>
</body>
</html>
