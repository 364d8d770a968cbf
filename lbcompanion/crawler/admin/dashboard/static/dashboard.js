/* Shows times in the reader's time zone, and renews the live part of a page. Without it the pages work by reloading. */
(function () {
  "use strict";

  var RENEW_MS = 2000;
  var format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  var minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  var day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

  function localTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (each) {
      var at = new Date(each.getAttribute("datetime"));
      if (!isNaN(at)) each.textContent = format.format(at);
    });
    root.querySelectorAll("text[data-at]").forEach(function (each) {
      each.textContent = (each.dataset.shown === "day" ? day : minute).format(new Date(each.dataset.at));
    });
  }

  /* The place of an element below a root, so that its successor gets the focus after the part is replaced. */
  function pathTo(root, element) {
    var path = [];
    for (; element !== root; element = element.parentNode) {
      path.unshift(Array.prototype.indexOf.call(element.parentNode.children, element));
    }
    return path;
  }

  function follow(root, path) {
    return path.reduce(function (at, index) { return at && at.children[index]; }, root);
  }

  function replace(live, html) {
    var next = document.createElement("div");
    next.innerHTML = html;
    localTimes(next);
    live.querySelectorAll("details[open]").forEach(function (each) {
      var same = next.querySelector('details[data-key="' + CSS.escape(each.dataset.key) + '"]');
      if (same) same.open = true;
    });
    if (next.innerHTML === live.innerHTML) return;
    var active = document.activeElement;
    var path = live.contains(active) && active !== live ? pathTo(live, active) : null;
    var href = path && active.getAttribute("href");
    var scrolled = Array.prototype.map.call(live.querySelectorAll(".scroll"), function (each) { return each.scrollLeft; });
    live.replaceChildren.apply(live, next.childNodes);
    live.querySelectorAll(".scroll").forEach(function (each, index) { each.scrollLeft = scrolled[index] || 0; });
    if (!path) return;
    var same = href && live.querySelector('a[href="' + CSS.escape(href) + '"]');
    var heir = same || follow(live, path);
    if (heir) heir.focus({ preventScroll: true });
  }

  function renew(live) {
    if (document.hidden || !window.getSelection().isCollapsed) return;
    fetch(live.dataset.live + location.search, { cache: "no-store" })
      .then(function (answer) { if (!answer.ok) throw new Error(answer.status); return answer.text(); })
      .then(function (html) { replace(live, html); live.classList.remove("stalled"); })
      .catch(function () { live.classList.add("stalled"); });
  }

  /* Fields for times take the reader's own time, and send it in UTC. */
  function localFields(form) {
    form.querySelectorAll("input[data-time]").forEach(function (field) {
      var at = new Date(field.value);
      field.value = "";
      field.type = "datetime-local";
      if (!isNaN(at)) field.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    });
    form.addEventListener("submit", function () {
      form.querySelectorAll("input[data-time]").forEach(function (field) {
        var text = field.value && new Date(field.value).toISOString().slice(0, 19) + "Z";
        field.type = "text";
        field.value = text;
      });
    });
  }

  localTimes(document);
  document.querySelectorAll("form").forEach(localFields);
  var live = document.querySelector("[data-live]");
  if (live) setInterval(renew, RENEW_MS, live);
  // After a log-out, the button "back" must not show a page that the browser has kept.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted && document.querySelector('form[action="/logout"]')) location.reload();
  });
}());
