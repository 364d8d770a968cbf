<%@ Page Language="C#" %>
<script runat="server">
    ArrayList Entries {
        get { return (ArrayList) (Session["entries"] ?? (Session["entries"] = new ArrayList())); }
    }

    void Page_Load(object sender, EventArgs arguments) {
        Response.Cache.SetCacheability(HttpCacheability.NoCache);
        message.Text = Server.HtmlEncode((string) Session["message"]);
        Session.Remove("message");
        visits.Text = ((int) (ViewState["visits"] ?? 0)).ToString();
        ViewState["visits"] = 1 + (int) (ViewState["visits"] ?? 0);
    }

    void Page_PreRender(object sender, EventArgs arguments) {
        bool known = Session["name"] != null;
        visitor.Text = known ? "Hello " + Server.HtmlEncode((string) Session["name"]) : "Nobody is logged in.";
        stranger.Visible = !known;
        guest.Visible = known;
        entries.DataSource = Entries;
        entries.DataBind();
    }

    void Write(object sender, EventArgs arguments) {
        if (Session["name"] == null) return;
        Entries.Add(text.Text);
        Session["message"] = "The entry was written.";
        Response.Redirect("Default.aspx");
    }

    void Preview(object sender, EventArgs arguments) {
        message.Text = "Preview: " + Server.HtmlEncode(text.Text);
    }

    void Leave(object sender, EventArgs arguments) {
        Session.Abandon();
        Response.Redirect("Default.aspx");
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
<h1>Guest book</h1>
<p id="message"><asp:Literal ID="message" runat="server" /></p>
<p id="visitor"><asp:Literal ID="visitor" runat="server" /></p>
<asp:PlaceHolder ID="stranger" runat="server">
<p><a id="login" href="Login.aspx">Log in</a></p>
</asp:PlaceHolder>
<asp:PlaceHolder ID="guest" runat="server">
<ul><asp:Repeater ID="entries" runat="server"><ItemTemplate><li><%# Server.HtmlEncode((string) Container.DataItem) %></li></ItemTemplate></asp:Repeater></ul>
<p><asp:TextBox ID="text" runat="server" />
<asp:Button ID="write" Text="Write" OnClick="Write" runat="server" />
<asp:Button ID="preview" Text="Preview" OnClick="Preview" runat="server" />
Sent from this page so far: <asp:Literal ID="visits" runat="server" /></p>
<p><a id="big" href="Big.aspx">A page of more than a megabyte</a></p>
<p><button id="more" type="button">More</button> <span id="fragment"></span></p>
<script>
document.getElementById("more").onclick = async function () {
  const response = await fetch("Fragment.aspx");
  document.getElementById("fragment").innerHTML = await response.text();
};
</script>
<p><asp:Button ID="leave" Text="Log out" OnClick="Leave" runat="server" /></p>
</asp:PlaceHolder>
</form>
</body>
</html>
