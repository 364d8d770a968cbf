/* Shows times in the reader's time zone, and renews the live part of a page as recordings get their outcome. Without it
   the pages work by reloading. */
(function () {
  "use strict";

  var RENEW_MS = 2000;
  var RENEW_QUIET_MS = 30000;  // while the crawler says that no recording got its outcome
  var MOST_EVENTS = 100;  // between two renewals: more of them cost more than renewing
  var WITHOUT_EVENTS_MS = 60000;
  var format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  var minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  var day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

  function localTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (each) {
      var at = new Date(each.getAttribute("datetime"));
      if (isNaN(at)) return;
      /* Beside it the time in UTC, with its date where that is another one. */
      var utc = at.toISOString();
      var sameDay = at.getDate() === at.getUTCDate();
      var beside = document.createElement("small");
      var time = (sameDay ? "" : utc.slice(0, 10) + " ") + utc.slice(11, 19);
      beside.textContent = at.getTimezoneOffset() ? " (" + time + " UTC)" : " UTC";
      each.replaceChildren(format.format(at), beside);
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

  function elementAt(root, path) {
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
    var heir = same || elementAt(live, path);
    if (heir) heir.focus({ preventScroll: true });
  }

  /* Returns whether it asks for the part. */
  function renew(live) {
    if (document.hidden || !window.getSelection().isCollapsed) return false;
    fetch(live.dataset.live + location.search, { cache: "no-store" })
      .then(function (answer) { if (!answer.ok) throw new Error(answer.status); return answer.text(); })
      .then(function (html) { replace(live, html); live.classList.remove("stalled"); })
      .catch(function () { live.classList.add("stalled"); });
    return true;
  }

  /* Follows the outcomes of recordings. Returns a function that returns what happened since its last call: whether the
     stream is open, whether it was opened, how many outcomes came. A hidden page does not follow them, because browsers
     have few connections to a host. */
  function follow(address) {
    var source = null, later = 0, lastId = "", wasOpened = false, outcomes = 0;

    function end(wait) {
      if (source) source.close();
      source = null;
      later = Date.now() + wait;
    }

    function begin() {
      if (source || document.hidden || !window.EventSource || Date.now() < later) return;
      source = new EventSource(address + (lastId && (address.includes("?") ? "&" : "?") + "after=" + lastId));
      source.addEventListener("open", function () { wasOpened = true; });
      source.addEventListener("missed", function (event) { lastId = event.lastEventId; wasOpened = true; });
      source.addEventListener("recording", function (event) {
        lastId = event.lastEventId;
        if (++outcomes > MOST_EVENTS) end(WITHOUT_EVENTS_MS);
      });
      source.addEventListener("error", function () {
        // Otherwise the browser connects again by itself.
        if (source && source.readyState === EventSource.CLOSED) end(WITHOUT_EVENTS_MS);
      });
    }

    document.addEventListener("visibilitychange", function () { if (document.hidden) end(0); else begin(); });
    begin();
    return function () {
      var isOpen = source !== null && source.readyState === EventSource.OPEN;
      var found = { isOpen: isOpen, wasOpened: wasOpened, outcomes: outcomes };
      wasOpened = false;
      outcomes = 0;
      begin();
      return found;
    };
  }

  /* Without the stream, the part is renewed each time; with it, when something happened, and sometimes. */
  function keepLive(live) {
    var happened = follow("/api/recordings/stream"), isDue = false, renewedAt = Date.now();
    setInterval(function () {
      var found = happened();
      isDue = isDue || !found.isOpen || found.wasOpened || found.outcomes > 0 || live.classList.contains("stalled") ||
        Date.now() - renewedAt >= RENEW_QUIET_MS;
      if (!isDue || !renew(live)) return;
      isDue = false;
      renewedAt = Date.now();
    }, RENEW_MS);
  }

  /* Says how many recordings of a list got their outcome since the page was loaded. The list itself stays. */
  function countNews(news) {
    var happened = follow(news.dataset.stream), count = 0;
    setInterval(function () {
      var more = happened().outcomes;
      count += more;
      if (!more) return;
      news.firstElementChild.textContent = count + (count === 1 ? " recording has" : " recordings have") +
        " got an outcome since. Show the new list";
      news.hidden = false;
    }, RENEW_MS);
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
  if (live) keepLive(live);
  var news = document.querySelector("[data-stream]");
  if (news) countNews(news);
  // After a log-out, the button "back" must not show a page that the browser has kept.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted && document.querySelector('form[action="/logout"]')) location.reload();
  });
}());
