// Runs before the scripts of a recorded page. It keeps nothing inside: that is the work of the policy and the sandbox.
// It gives the scripts what their document lacks (cookies, storage, the time of the viewing), and leads the addresses
// that they set to the files of the recording.
(() => {
  "use strict";
  if (window.top === window) {
    // Without the page around it, a script could send its own window to any address.
    window.stop();
    document.documentElement?.remove();
    throw new Error("a recorded page runs its scripts only inside of a frame");
  }
  const { prefix, base, viewed } = document.currentScript.dataset;

  // The page's clock begins when its visitor viewed it.
  const { Date } = window;
  const shift = viewed ? Number(viewed) - Date.now() : 0;
  const now = () => Date.now() + shift;
  window.Date = new Proxy(Date, {
    construct: (kind, given, made) => Reflect.construct(kind, given.length ? given : [now()], made),
    apply: () => new Date(now()).toString(),
    get: (kind, name) => (name === "now" ? now : kind[name]),
  });
  Date.prototype.constructor = window.Date;

  class MemoryStorage {
    #kept = new Map();
    get length() { return this.#kept.size; }
    key(index) { return [...this.#kept.keys()][index] ?? null; }
    getItem(name) { return this.#kept.get(String(name)) ?? null; }
    setItem(name, value) { this.#kept.set(String(name), String(value)); }
    removeItem(name) { this.#kept.delete(String(name)); }
    clear() { this.#kept.clear(); }
  }
  // A script may also read and write an item as a property.
  const items = {
    get(kept, name) {
      const value = kept[name];
      if (typeof value === "function") return value.bind(kept);
      return value ?? (typeof name === "string" ? kept.getItem(name) ?? undefined : undefined);
    },
    set: (kept, name, value) => (kept.setItem(name, value), true),
    deleteProperty: (kept, name) => (kept.removeItem(name), true),
    has: (kept, name) => name in kept || kept.getItem(name) !== null,
    ownKeys: (kept) => Array.from({ length: kept.length }, (_, index) => kept.key(index)),
    getOwnPropertyDescriptor(kept, name) {
      const value = typeof name === "string" ? kept.getItem(name) : null;
      return value === null ? undefined : { value, writable: true, enumerable: true, configurable: true };
    },
  };
  const put = (where, name, value) => Object.defineProperty(where, name, { value, configurable: true, writable: true });
  for (const name of ["localStorage", "sessionStorage"]) put(window, name, new Proxy(new MemoryStorage(), items));

  const cookies = new Map();
  Object.defineProperty(document, "cookie", {
    configurable: true,
    get: () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; "),
    set: (text) => {
      const [pair, ...attributes] = String(text).split(";");
      const [name, ...value] = pair.split("=");
      const ends = (attribute) => {
        const [kind, given] = attribute.split("=").map((part) => part.trim());
        return /^max-age$/i.test(kind) ? Number(given) <= 0 : /^expires$/i.test(kind) && Date.parse(given) <= now();
      };
      if (attributes.some(ends)) cookies.delete(name.trim());
      else cookies.set(name.trim(), value.join("=").trim());
    },
  });

  // In a document with an opaque origin these throw. At the site they did not, so the scripts have to go on.
  const inert = (more) => Object.assign(new EventTarget(), more);
  const never = () => new Promise(() => {});
  for (const name of ["indexedDB", "caches"]) put(window, name, undefined);
  put(navigator, "serviceWorker", inert({
    controller: null, ready: never(), register: never, getRegistration: never, getRegistrations: never, startMessages() {},
  }));
  Object.defineProperty(document, "domain", { configurable: true, get: () => new URL(base).hostname, set() {} });
  for (const name of ["pushState", "replaceState"]) {
    const change = History.prototype[name];
    History.prototype[name] = function (state, title, url) {
      try {
        return change.call(this, state, title, url);
      } catch (failure) {
        if (failure.name !== "SecurityError") throw failure;
        return change.call(this, state, title); // the address of the site cannot be shown
      }
    };
  }
  for (const name of ["Worker", "SharedWorker"]) {
    const construct = (kind, given, made) => {
      try {
        return Reflect.construct(kind, given, made);
      } catch (failure) {
        if (failure.name !== "SecurityError") throw failure;
        return inert({ postMessage() {}, terminate() {}, port: inert({ postMessage() {}, start() {}, close() {} }) });
      }
    };
    if (window[name]) put(window, name, new Proxy(window[name], { construct }));
  }

  // The address of the recording's file for an address of the site.
  const mapped = (what, given) => {
    const text = String(given).trim();
    if (!text || /^(data|blob|about|javascript):|^#/i.test(text) || text.startsWith(prefix)) return given;
    let url;
    try {
      url = new URL(text, base);
      if (url.origin === new URL(location.href).origin) {
        if (url.pathname.startsWith(prefix)) return given;
        url = new URL(url.pathname + url.search + url.hash, base); // a script made it of its location
      }
    } catch {
      return given;
    }
    const fragment = url.hash.replaceAll("\\", "%5C");
    url.hash = "";
    return `${prefix}${what}?url=${encodeURIComponent(url.href)}${fragment}`;
  };

  const candidates = /([\s,]*)(\S*[^\s,])(?=,|\s|$)(?:,+(?=\s|$)|\s+[^,]*(?:,|$)|$)/g;
  const mappedCandidates = (what, given) =>
    String(given).replace(candidates, (whole, before, url) =>
      before + mapped(what, url) + whole.slice(before.length + url.length));
  const inCss = /(@import\s+)?url\(\s*(?:"([^"]*)"|'([^']*)'|([^"'()\s]+))\s*\)/gi;
  const mappedCss = (given) =>
    String(given).replace(inCss, (whole, rule, ...forms) => {
      const url = forms.slice(0, 3).find((form) => form !== undefined);
      const meant = mapped(rule ? "style/utf-8" : "file", url);
      return meant === url ? whole : `${rule ?? ""}url("${meant}")`;
    });

  const elements = [
    [HTMLImageElement, "src", () => "image", mapped],
    [HTMLImageElement, "srcset", () => "image", mappedCandidates],
    [HTMLSourceElement, "srcset", () => "image", mappedCandidates],
    [HTMLInputElement, "src", () => "image", mapped],
    [HTMLScriptElement, "src", () => "file", mapped],
    [HTMLIFrameElement, "src", () => "frame", mapped],
    [HTMLLinkElement, "href", (link) => (/\bstylesheet\b/i.test(link.rel) ? "style/utf-8" : "file"), mapped],
  ];
  const attributeOf = (element, name) =>
    elements.find(([kind, own]) => own === String(name).toLowerCase() && element instanceof kind);

  for (const [kind, name, what, map] of elements) {
    const property = Object.getOwnPropertyDescriptor(kind.prototype, name);
    Object.defineProperty(kind.prototype, name, {
      ...property,
      set(value) { property.set.call(this, map(what(this), value)); },
    });
  }
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    const found = attributeOf(this, name);
    return setAttribute.call(this, name, found ? found[3](found[2](this), value) : value);
  };
  for (const name of ["insertRule", "replace", "replaceSync"]) {
    const change = CSSStyleSheet.prototype[name];
    CSSStyleSheet.prototype[name] = function (css, ...more) { return change.call(this, mappedCss(css), ...more); };
  }

  // What a script adds as markup has its addresses already: its files are loaded again, from the recording.
  const mend = (element) => {
    for (const [kind, name, what, map] of elements) {
      if (!(element instanceof kind) || kind === HTMLScriptElement || !element.hasAttribute(name)) continue;
      const written = element.getAttribute(name);
      const meant = map(what(element), written);
      if (meant !== written) setAttribute.call(element, name, meant);
    }
    mendStyle(element);
  };
  const mendStyle = (element) => {
    const written = element.getAttribute("style");
    const meant = written && mappedCss(written);
    if (meant !== written) setAttribute.call(element, "style", meant);
    if (!(element instanceof HTMLStyleElement)) return;
    const css = mappedCss(element.textContent);
    if (css !== element.textContent) element.textContent = css;
  };
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "attributes") mendStyle(target);
      else if (target instanceof HTMLStyleElement) mendStyle(target);
      for (const node of addedNodes) {
        if (!(node instanceof Element)) continue;
        mend(node);
        node.querySelectorAll("img, source, input, iframe, link, style, [style]").forEach(mend);
      }
    }
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["style"] });
})();
