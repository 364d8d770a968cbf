<%
    if (request.getMethod().equals("POST")) request.getSession().invalidate();
    response.sendRedirect("index.jsp");
%>
