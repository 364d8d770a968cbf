<%@ Page Language="C#" EnableSessionState="false" %>
<b>Fetched later: <%= Guid.NewGuid() %></b>
