(function (window, config) {
  "use strict";
  try {
    var document = window.document;
    var location = window.location;

    // No call of ours may ever stop a page's own script.
    var guarded = function (action, otherwise) {
      return function (first, second) {
        try {
          return action(first, second);
        } catch (error) {
          return otherwise;
        }
      };
    };

    // Half a surrogate pair cannot be encoded; it becomes U+FFFD.
    var wellFormed = function (text) {
      return text.replace(
        /[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uD800-\uDFFF]/g,
        function (found) {
          return found.length === 2 ? found : "\uFFFD";
        }
      );
    };

    var percent = function (found) {
      return "%" + found.charCodeAt(0).toString(16).toUpperCase();
    };

    var decoded = function (text) {
      try {
        return decodeURIComponent(text);
      } catch (error) {
        return text;
      }
    };

    // Pairs of [name, value] as they stand in the page's cookies; the first of a name counts.
    var pageCookies = function () {
      var parts = document.cookie.split(";");
      var pairs = [];
      for (var i = 0; i < parts.length; i += 1) {
        var part = parts[i].replace(/^[ \t]+|[ \t]+$/g, "");
        var equals = part.indexOf("=");
        if (equals > 0) {
          pairs.push([part.slice(0, equals), part.slice(equals + 1)]);
        }
      }
      return pairs;
    };

    var recorded = [];

    var record = function (name, value, keepFirst) {
      for (var i = 0; i < recorded.length; i += 1) {
        if (recorded[i][0] === name) {
          if (!keepFirst) {
            recorded[i][1] = value;
          }
          return;
        }
      }
      recorded.push([name, value]);
    };

    var recordFromPage = function (matches, nameOf, keepFirst) {
      var pairs = pageCookies();
      var seen = [];
      for (var i = 0; i < pairs.length; i += 1) {
        var name = nameOf(pairs[i][0]);
        if (seen.indexOf(name) < 0 && matches(name)) {
          seen.push(name);
          record(name, pairs[i][1], keepFirst);
        }
      }
    };

    var setFromCookie = function (wanted) {
      var isPattern = wanted && typeof wanted.test === "function";
      recordFromPage(function (name) {
        if (!isPattern) {
          return name === String(wanted);
        }
        // A global pattern would go on from where it matched last.
        wanted.lastIndex = 0;
        return wanted.test(name);
      }, decoded);
    };

    var set = function (name, value) {
      if (value === null || value === undefined) {
        setFromCookie(name);
      } else {
        record(String(name), String(value));
      }
    };

    var constructCookiesParam = function () {
      var joined = "";
      for (var i = 0; i < recorded.length; i += 1) {
        joined +=
          recorded[i][0].replace(/[%;=]/g, percent) + "=" +
          recorded[i][1].replace(/[%;]/g, percent) + ";";
      }
      return "CTFetchCookies=" + encodeURIComponent(wellFormed(joined));
    };

    var constructFetchFromUrl = function (url) {
      var base = url === null || url === undefined ? location.href : String(url);
      return base + (base.indexOf("#") < 0 ? "#" : "&") + constructCookiesParam();
    };

    // ---- what the script does by itself ----

    var recordConfigured = function () {
      for (var i = 0; i < config.names.length; i += 1) {
        recordFromPage(matcherOf(config.names[i]), String, false);
      }
    };

    var matcherOf = function (name) {
      if (name.length > 2 && name.charAt(0) === "/" && name.charAt(name.length - 1) === "/") {
        try {
          var pattern = new RegExp(name.slice(1, -1));
          return function (candidate) { return pattern.test(candidate); };
        } catch (error) {
          return function () { return false; };
        }
      }
      return function (candidate) { return candidate === name; };
    };

    // Whether this visitor is recorded; draws lots once where only a share is.
    var isChosen = function () {
      var pairs = pageCookies();
      for (var i = 0; i < pairs.length; i += 1) {
        if (pairs[i][0] === config.visitorCookie) {
          return pairs[i][1] !== "0";
        }
      }
      var query = location.search.slice(1).split("&");
      if (config.force && query.indexOf(config.force) >= 0) {
        return true;
      }
      if (config.ratio >= 1) {
        return true;
      }
      var chosen = Math.random() < config.ratio;
      document.cookie = config.visitorCookie + "=" + (chosen ? "1" : "0") +
        "; path=/; max-age=31536000; samesite=lax" + (location.protocol === "https:" ? "; secure" : "");
      return chosen;
    };

    var noticeText = function (token, url) {
      var members = [];
      for (var i = 0; i < recorded.length; i += 1) {
        members.push(JSON.stringify(wellFormed(recorded[i][0])) + ":" + JSON.stringify(wellFormed(recorded[i][1])));
      }
      return '{"token":' + JSON.stringify(token) + ',"url":' + JSON.stringify(wellFormed(url)) +
        ',"cookies":{' + members.join(",") + '},"viewed_at":' + JSON.stringify(new Date().toISOString()) + "}";
    };

    // The notice goes where the script came from: below the page's folder the page's cookies go along. Elsewhere
    // a balancer may miss its own one, and give the visitor another, which takes him to another node.
    var noticeUrlFor = function (source) {
      // Absolute, and not by tag.src, so that a <base> that came behind the tag leads it nowhere else.
      var origin = location.protocol + "//" + location.host;
      var found = /^\.\/([^?#]*\/)fetch-from\?/.exec(source || "");
      if (found) {
        return origin + location.pathname.replace(/[^\/]*$/, "") + found[1] + "notice";
      }
      return origin + config.prefix + "/notice";
    };

    var post = function (text, url) {
      try {
        if (window.navigator.sendBeacon && window.navigator.sendBeacon(url, text)) {
          return;
        }
      } catch (error) { /* the next way, then */ }
      if (window.fetch) {
        window.fetch(url, { method: "POST", body: text, keepalive: true, credentials: "same-origin" })
          .then(null, function () {});
      } else {
        var request = new window.XMLHttpRequest();
        request.open("POST", url, true);
        request.send(text);
      }
    };

    var notify = guarded(function (token, noticeUrl) {
      if (!isChosen()) {
        return;
      }
      recordConfigured();
      var text = noticeText(token, location.href);
      if (text.length > 12000) {
        text = noticeText(token, location.href.split(/[?#]/)[0].slice(0, 2000));
      }
      post(text, noticeUrl);
    });

    var noticed = [];

    // One notice for a page view, as soon as the page's own scripts had their say, or when it is left before.
    var view = function (token, noticeUrl) {
      if (!token || noticed.indexOf(token) >= 0) {
        return;
      }
      noticed.push(token);
      var told = false;
      var tell = function () {
        if (!told && !document.prerendering) {
          told = true;
          notify(token, noticeUrl);
        }
      };
      if (document.prerendering) {
        document.addEventListener("prerenderingchange", tell);
      } else if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", tell);
        window.addEventListener("pagehide", tell);
      } else {
        tell();
      }
      window.addEventListener("pageshow", function (event) {
        if (event.persisted && noticed[noticed.length - 1] === token) {
          notify(token, noticeUrl);
        }
      });
    };

    var tag = document.currentScript;
    if (!tag || !tag.getAttribute("data-lbc-token")) {
      tag = document.querySelector("script[data-lbc-token]");
    }
    var token = tag && tag.getAttribute("data-lbc-token");
    var noticeUrl = noticeUrlFor(tag && tag.getAttribute("src"));
    var fetchFrom = tag && tag.getAttribute("data-lbc-fetch-from");

    // Included twice, the first one does the work.
    var first = window.FetchFromWithCookies;
    if (first && first.lbcView) {
      first.lbcView(token, noticeUrl);
      return;
    }

    var object = {
      set: guarded(set),
      setFromCookie: guarded(setFromCookie),
      clear: guarded(function () { recorded = []; }),
      constructCookiesParam: guarded(constructCookiesParam, "CTFetchCookies="),
      constructCookiesHash: guarded(function () { return "#" + constructCookiesParam(); }, "#CTFetchCookies="),
      constructFetchFromUrl: guarded(constructFetchFromUrl, location.href)
    };
    Object.defineProperty(object, "lbcView", { value: guarded(view) });
    window.FetchFromWithCookies = object;
    if (config.clicktaleNames) {
      window.ClickTaleFetchFromWithCookies = object;
      if (window.ClickTaleFetchFrom === undefined) {
        Object.defineProperty(window, "ClickTaleFetchFrom", {
          configurable: true,
          enumerable: true,
          get: guarded(function () { return constructFetchFromUrl(fetchFrom); }),
          set: function (value) {
            Object.defineProperty(window, "ClickTaleFetchFrom", {
              configurable: true, enumerable: true, writable: true, value: value
            });
          }
        });
      }
    }
    object.lbcView(token, noticeUrl);
  } catch (error) { /* the page comes first */ }
})(window, {/* lbc:config */});
