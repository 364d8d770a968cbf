// A guest book of a few pages in Express. Sessions are in the memory of this process only.
"use strict";
const { randomBytes, randomUUID } = require("crypto");
const express = require("express");

const sessions = new Map();
const app = express();
// The companion is on this machine: request.ip and request.protocol are what the balancer wrote.
app.set("trust proxy", "loopback");
app.disable("x-powered-by");
app.use(express.urlencoded({ extended: false }));

app.use((request, response, next) => {
  const found = /(?:^|; )sid=([0-9a-f]{32})(?:;|$)/.exec(request.headers.cookie || "");
  request.session = found && sessions.get(found[1]);
  if (!request.session) {
    const id = randomBytes(16).toString("hex");
    sessions.set(id, (request.session = { entries: [] }));
    response.cookie("sid", id, { httpOnly: true, sameSite: "lax" });
  }
  next();
});

const text = (value) => String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");

function page(request, response, body) {
  const message = request.session.message;
  delete request.session.message;
  response.set("Cache-Control", "no-cache").send(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Guest book</title>
<style>body { font-family: sans-serif; margin: 2rem; } #message { background: #ffe9a8; padding: 0.5rem; }</style>
</head>
<body>
<p>Node ${process.env.NODE}. <a id="home" href="/">Home</a> This page was made once: ${randomUUID()}</p>
${message ? `<p id="message">${text(message)}</p>` : ""}
${body}
</body>
</html>
`);
}

function index(request, response) {
  const { name, entries } = request.session;
  page(request, response, name === undefined ? `<h1>Guest book</h1>
<p id="visitor">Nobody is logged in.</p>
<p><a id="login" href="/login">Log in</a></p>` : `<h1>Guest book</h1>
<p id="visitor">Hello ${text(name)}</p>
<ul>${entries.map((entry) => `<li>${text(entry)}</li>`).join("")}</ul>
<form method="post">
<input id="text" name="text"> <button id="write">Write</button> <button id="preview" name="preview">Preview</button>
</form>
<p><a id="big" href="/big">A page of more than a megabyte</a></p>
<p><button id="more">More</button> <span id="fragment"></span></p>
<script>
document.getElementById("more").onclick = async function () {
  const response = await fetch("/fragment");
  document.getElementById("fragment").innerHTML = await response.text();
};
</script>
<form method="post" action="/logout"><button id="leave">Log out</button></form>`);
}

function login(request, response) {
  page(request, response, `<h1>Log in</h1>
<form method="post" action="/login">
<p><label>Name <input id="name" name="name"></label></p>
<p><label>Password (it is "secret") <input id="password" name="password" type="password"></label></p>
<p><button id="enter">Log in</button></p>
</form>`);
}

app.get("/", index);
app.post("/", (request, response) => {
  if (request.session.name === undefined) return response.redirect(303, "/");
  if ("preview" in request.body) {
    request.session.message = `Preview: ${request.body.text}`;
    return index(request, response);
  }
  request.session.entries.push(request.body.text);
  request.session.message = "The entry was written.";
  response.redirect(303, "/");
});
app.get("/login", login);
app.post("/login", (request, response) => {
  if (request.body.password === "secret") {
    request.session.name = request.body.name;
    return response.redirect(303, "/");
  }
  request.session.message = "This password is wrong.";
  login(request, response);
});
app.post("/logout", (request, response) => {
  delete request.session.name;
  response.redirect(303, "/");
});
app.get("/big", (request, response) => {
  const lines = Array.from({ length: 20000 }, (_, number) => `${number}: ${randomUUID()} – café &amp; crème`);
  page(request, response, `<h1>A page of more than a megabyte</h1>\n<pre>${lines.join("\n")}</pre>`);
});
app.get("/fragment", (request, response) => response.send(`<b>Fetched later: ${randomUUID()}</b>`));

const server = app.listen(Number(process.env.PORT), "127.0.0.1");
// Longer than the companion keeps idle connections (upstream_idle_seconds = 4). Node's default is 5 seconds.
server.keepAliveTimeout = 20000;
