<%@ page session="false" pageEncoding="UTF-8" contentType="text/html; charset=utf-8" import="java.util.UUID" %>
<b>Fetched later: <%= UUID.randomUUID() %></b>
