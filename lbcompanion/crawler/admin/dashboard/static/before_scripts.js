// Runs before the scripts of a recorded page. It keeps nothing inside: that is the work of the policy and the sandbox.
// It gives the scripts what their document lacks (cookies, storage), and leads the addresses that they set to the
// files of the recording.
(() => {
  "use strict";
  if (window.top === window) {
    // Without the page around it, a script could send its own window to any address.
    window.stop();
    document.documentElement?.remove();
    throw new Error("a recorded page runs its scripts only inside of a frame");
  }
  const { prefix, base } = document.currentScript.dataset;

  class MemoryStorage {
    #kept = new Map();
    get length() { return this.#kept.size; }
    key(index) { return [...this.#kept.keys()][index] ?? null; }
    getItem(name) { return this.#kept.get(String(name)) ?? null; }
    setItem(name, value) { this.#kept.set(String(name), String(value)); }
    removeItem(name) { this.#kept.delete(String(name)); }
    clear() { this.#kept.clear(); }
  }
  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, { value: new MemoryStorage(), configurable: true });
  }

  const cookies = new Map();
  Object.defineProperty(document, "cookie", {
    configurable: true,
    get: () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; "),
    set: (text) => {
      const [name, ...value] = String(text).split(";")[0].split("=");
      cookies.set(name.trim(), value.join("=").trim());
    },
  });

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
    const fragment = url.hash;
    url.hash = "";
    return `${prefix}${what}?url=${encodeURIComponent(url.href)}${fragment}`;
  };

  const elements = [
    [HTMLImageElement, "src", () => "image"],
    [HTMLInputElement, "src", () => "image"],
    [HTMLScriptElement, "src", () => "file"],
    [HTMLIFrameElement, "src", () => "frame"],
    [HTMLLinkElement, "href", (link) => (/\bstylesheet\b/i.test(link.rel) ? "style/utf-8" : "file")],
  ];
  const attributeOf = (element, name) =>
    elements.find(([kind, own]) => own === String(name).toLowerCase() && element instanceof kind);

  for (const [kind, name, what] of elements) {
    const property = Object.getOwnPropertyDescriptor(kind.prototype, name);
    Object.defineProperty(kind.prototype, name, {
      ...property,
      set(value) { property.set.call(this, mapped(what(this), value)); },
    });
  }
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    const found = attributeOf(this, name);
    return setAttribute.call(this, name, found ? mapped(found[2](this), value) : value);
  };

  // What a script adds as markup has its addresses already: its files are loaded again, from the recording.
  const mend = (element) => {
    for (const [kind, name, what] of elements) {
      if (!(element instanceof kind) || kind === HTMLScriptElement || !element.hasAttribute(name)) continue;
      const written = element.getAttribute(name);
      const meant = mapped(what(element), written);
      if (meant !== written) setAttribute.call(element, name, meant);
    }
  };
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) {
        if (!(node instanceof Element)) continue;
        mend(node);
        node.querySelectorAll("img, input, iframe, link").forEach(mend);
      }
    }
  }).observe(document, { childList: true, subtree: true });
})();
