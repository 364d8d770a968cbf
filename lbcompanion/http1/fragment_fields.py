"""The request fields that scripts add to their own requests for pages and parts of pages.

A script that replaces a part of the document, or its whole body, does not run the inserted script as a navigation does.
Such a request is therefore one for a fragment, even if the response is a whole document (htmx with ``hx-boost``, Turbo,
Livewire, swup). Over plain http there is no Fetch Metadata, and these fields are the only mark.
"""

from __future__ import annotations

#: Fields that only scripts send, with any value, and the library that sends them. Names in lower case.
FRAGMENT_FIELDS: dict[bytes, str] = {
    b"datastar-request": "Datastar",
    b"faces-request": "Jakarta Faces",
    b"hx-request": "htmx: requests, boosted links and history restores",
    b"turbo-frame": "Turbo: frames",
    b"turbolinks-referrer": "Turbolinks 5",
    b"wicket-ajax": "Apache Wicket",
    b"x-alpine-request": "Alpine AJAX",
    b"x-barba": "barba.js",
    b"x-ic-request": "intercooler.js",
    b"x-inertia": "Inertia.js",
    b"x-livewire": "Livewire: component updates",
    b"x-livewire-navigate": "Livewire: wire:navigate",
    b"x-microsoftajax": "ASP.NET AJAX",
    b"x-pjax": "jquery-pjax",
    b"x-spf-request": "SPF",
    b"x-turbo-request-id": "Turbo: all requests since Turbo 7.3",
    b"x-up-version": "Unpoly",
    b"x-xhr-referer": "Turbolinks classic",
}

#: The values of ``X-Requested-With`` that scripts send, in lower case. An Android web view sends the name of its
#: application package there, with every navigation.
REQUESTED_WITH: dict[bytes, str] = {
    b"fetch": "a convention of scripts that use fetch()",
    b"highway": "highway.js",
    b"swup": "swup",
    b"taxi": "taxi.js",
    b"xmlhttprequest": "jQuery, Rails UJS, Prototype, Dojo, Ext JS and others",
}
