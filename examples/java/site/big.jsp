<%@ include file="WEB-INF/top.jspf" %>
<h1>A page of more than a megabyte</h1>
<pre><% for (int number = 0; number < 20000; number++) { %>
<%= number %>: <%= UUID.randomUUID() %> – café &amp; crème
<% } %></pre>
</body>
</html>
