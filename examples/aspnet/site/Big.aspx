<%@ Page Language="C#" %>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Guest book</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<p>Node <%= Environment.GetEnvironmentVariable("NODE") %>. <a id="home" href="Default.aspx">Home</a>
<h1>A page of more than a megabyte</h1>
<pre><% for (int number = 0; number < 20000; number++) { %>
<%= number %>: <%= Guid.NewGuid() %> – café &amp; crème
<% } %></pre>
</body>
</html>
