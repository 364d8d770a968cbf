(function (window, config) {
  "use strict";
  try {
    var document = window.document;
    var location = window.location;

    // An error in here stops neither a script of the page nor another part of the notice.
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

    // A sandboxed page has no cookies: to read them throws. A page may also define the property otherwise.
    var cookieText = guarded(function () {
      return typeof document.cookie === "string" ? document.cookie : "";
    }, "");

    // Pairs of [name, value] as they stand in the page's cookies; the first of a name counts.
    var pageCookies = function () {
      var parts = cookieText().split(";");
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

    // ---- The notice ----

    var recordConfigured = guarded(function () {
      for (var i = 0; i < config.names.length; i += 1) {
        recordFromPage(matcherOf(config.names[i]), String, false);
      }
    });

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

    var isForced = guarded(function () {
      return config.force !== "" && location.search.slice(1).split("&").indexOf(config.force) >= 0;
    }, false);

    var setVisitorCookie = guarded(function (value, lifetime) {
      document.cookie = config.visitorCookie + "=" + value + "; path=/" + lifetime +
        "; samesite=lax" + (location.protocol === "https:" ? "; secure" : "");
    });

    var YEAR = "; max-age=31536000";

    // 128 random bits in hexadecimal; empty if the browser has no source of them.
    var randomId = guarded(function () {
      var numbers = new window.Uint8Array(16);
      window.crypto.getRandomValues(numbers);
      var text = "";
      for (var i = 0; i < 16; i += 1) {
        text += (numbers[i] + 256).toString(16).slice(1);
      }
      return text;
    }, "");

    // Give a recorded visitor a value of his own, which ends with the session.
    var identify = function () {
      var id = config.identify ? randomId() : "";
      if (id) {
        setVisitorCookie(id, "");
      }
      return id !== "";
    };

    var visitorValue = function () {
      var pairs = pageCookies();
      for (var i = 0; i < pairs.length; i += 1) {
        if (pairs[i][0] === config.visitorCookie) {
          return pairs[i][1];
        }
      }
      return null;
    };

    // Whether this visitor is recorded. If only a share is, this is decided at random once for each visitor.
    var isChosen = function () {
      var value = visitorValue();
      if (value === "0") {
        return false;
      }
      if (value === null && !isForced() && config.ratio < 1) {
        if (Math.random() >= config.ratio) {
          setVisitorCookie("0", YEAR);
          return false;
        }
        if (!identify()) {
          setVisitorCookie("1", YEAR);
        }
      } else if (value === null || value === "1") {
        identify();
      }
      return true;
    };

    // A string of JSON. A page's own JSON.stringify, or its String.prototype.toJSON, may do anything.
    var quoted = function (text) {
      return '"' + wellFormed(text).replace(/["\\\u0000-\u001F\u007F-\u009F\u2028\u2029]/g, function (found) {
        return "\\u" + ("000" + found.charCodeAt(0).toString(16)).slice(-4);
      }) + '"';
    };

    var utf8Length = function (text) {
      return text.length + (text.match(/[^\u0000-\u007F]/g) || []).length * 2;
    };

    // A time of RFC 3339 from milliseconds, without Date, which a page may have replaced.
    var rfc3339 = function (milliseconds) {
      var padded = function (number, digits) { return ("000" + number).slice(-digits); };
      var days = Math.floor(milliseconds / 86400000);
      var rest = Math.floor(milliseconds - days * 86400000);
      // The era has 400 years of 365.2425 days and begins on 1 March.
      var era = Math.floor((days + 719468) / 146097);
      var day = days + 719468 - era * 146097;
      var year = Math.floor((day - Math.floor(day / 1460) + Math.floor(day / 36524) - Math.floor(day / 146096)) / 365);
      day -= 365 * year + Math.floor(year / 4) - Math.floor(year / 100);
      var month = Math.floor((5 * day + 2) / 153);
      day -= Math.floor((153 * month + 2) / 5);
      month = month < 10 ? month + 3 : month - 9;
      return padded(year + era * 400 + (month <= 2 ? 1 : 0), 4) + "-" + padded(month, 2) + "-" + padded(day + 1, 2) +
        "T" + padded(Math.floor(rest / 3600000), 2) + ":" + padded(Math.floor(rest / 60000) % 60, 2) + ":" +
        padded(Math.floor(rest / 1000) % 60, 2) + "." + padded(rest % 1000, 3) + "Z";
    };

    var dateText = guarded(function () { return String(new Date().toISOString()); }, "");

    var performanceText = guarded(function () {
      return rfc3339(window.performance.timeOrigin + window.performance.now());
    }, "");

    // The time of the view; the epoch if the page has left no clock.
    var viewedAt = function () {
      var sources = [dateText, performanceText];
      for (var i = 0; i < sources.length; i += 1) {
        var text = sources[i]();
        if (/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$/.test(text)) {
          return text;
        }
      }
      return "1970-01-01T00:00:00.000Z";
    };

    var pageUrl = guarded(function () { return String(location.href); }, "");

    // A cookie for which the node would refuse the whole notice is left out.
    var isSendable = function (name, value) {
      return name.length > 0 && name.length <= 4096 && value.length <= 4096 &&
        !/[\u0000-\u001F\u007F-\u009F]/.test(name + value);
    };

    var noticeText = function (token) {
      var url = pageUrl();
      if (utf8Length(url) > 8000) {
        url = url.split(/[?#]/)[0].slice(0, 2000);
      }
      var start = '{"token":' + quoted(token) + ',"url":' + quoted(url) + ',"cookies":{';
      var end = '},"viewed_at":' + quoted(viewedAt()) + "}";
      var length = utf8Length(start + end);
      var names = [];
      var members = [];
      for (var i = 0; i < recorded.length && members.length < 1024; i += 1) {
        var name = quoted(recorded[i][0]);
        var member = name + ":" + quoted(recorded[i][1]);
        // A notice has 16 KiB at most.
        var fits = length + utf8Length(member) < 16000;
        if (fits && names.indexOf(name) < 0 && isSendable(recorded[i][0], recorded[i][1])) {
          names.push(name);
          members.push(member);
          length += utf8Length(member) + 1;
        }
      }
      return start + members.join(",") + end;
    };

    // The notice goes to the page's own origin, below the folder that the script came from: the page's cookies are
    // sent along there. Elsewhere a balancer may miss its own one, and move the visitor to another node by a new one.
    var noticeUrlFor = function (source) {
      var origin = location.protocol + "//" + location.host;
      var absolute = /^(?:https?:)?\/\/[^\/?#]*(\/[^?#]*\/)fetch-from\?/i.exec(source || "");
      if (absolute) {
        return origin + absolute[1] + "notice";
      }
      var relative = /^\.\/([^?#]*\/)fetch-from\?/.exec(source || "");
      if (relative) {
        return origin + location.pathname.replace(/[^\/]*$/, "") + relative[1] + "notice";
      }
      return origin + config.prefix + "/notice";
    };

    var byBeacon = guarded(function (text, url) {
      return window.navigator.sendBeacon(url, text) === true;
    }, false);

    var byFetch = guarded(function (text, url) {
      window.fetch(url, { method: "POST", body: text, keepalive: true, credentials: "same-origin" })
        .then(null, function () {});
      return true;
    }, false);

    var byRequest = guarded(function (text, url) {
      var request = new window.XMLHttpRequest();
      request.open("POST", url, true);
      request.send(text);
    });

    var post = function (text, url) {
      if (!byBeacon(text, url) && !byFetch(text, url)) {
        byRequest(text, url);
      }
    };

    var notify = guarded(function (token, noticeUrl) {
      if (!isChosen()) {
        return;
      }
      recordConfigured();
      post(noticeText(token), noticeUrl);
    });

    var noticed = [];

    // One notice for a page view, as soon as the page's own scripts had their say, or when it is left before.
    var view = function (token, noticeUrl) {
      if (!token || noticed.indexOf(token) >= 0) {
        return;
      }
      noticed.push(token);
      var isSent = false;
      var tell = function () {
        if (!isSent && document.prerendering !== true) {
          isSent = true;
          notify(token, noticeUrl);
        }
      };
      // Elements of the page may have the names of the document's properties.
      if (document.prerendering === true) {
        document.addEventListener("prerenderingchange", tell);
      } else if (document.readyState === "loading") {
        window.addEventListener("DOMContentLoaded", tell);
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

    var currentTag = guarded(function () {
      return document.currentScript.getAttribute("data-lbc-token") ? document.currentScript : null;
    }, null);

    var tagOfPage = guarded(function () { return document.querySelector("script[data-lbc-token]"); }, null);

    var attributeOf = guarded(function (tag, name) { return tag.getAttribute(name); }, null);

    var tag = currentTag() || tagOfPage();
    var token = attributeOf(tag, "data-lbc-token");
    var noticeUrl = noticeUrlFor(attributeOf(tag, "src"));
    var fetchFrom = attributeOf(tag, "data-lbc-fetch-from");

    // If the script is included twice, the first one does the work.
    var first = guarded(function () {
      return typeof window.FetchFromWithCookies.lbcView === "function" ? window.FetchFromWithCookies : null;
    }, null)();
    if (first) {
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
    guarded(function () { window.FetchFromWithCookies = object; })();
    guarded(function () {
      if (!config.clicktaleNames) {
        return;
      }
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
    })();
    object.lbcView(token, noticeUrl);
  } catch (error) { /* the page comes first */ }
})(window, {/* lbc:config */});
