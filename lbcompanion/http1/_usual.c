/* The usual request and the usual response, read and rewritten in one pass; see usual_heads.py.
 *
 * Two pure functions: bytes in, bytes out. They know no rule of the proxy. What has to be done with a message depends on a
 * few of its fields: their values make up its key, and a dictionary has what the Python machine did for another message
 * with the same key. A message that is not in the usual form at every byte, or has a field of which the table says nothing
 * else, gives None: the Python machine handles it.
 *
 * No memory is read beyond the bytes object, which ends with a NUL in CPython; every index is checked against its length.
 */
#include "_fields.h"

/* A head that is longer is not usual: the lines to forward are collected on the stack. */
#define LONGEST_HEAD 16384
/* The largest keys. Strangers choose the values of a request. A response may have a content security policy, which is
 * long. */
#define LONGEST_REQUEST_KEY 768
#define LONGEST_RESPONSE_KEY 4096
#define MOST_SLOTS 24
/* Decimal digits of a Content-Length: 99,999,999 bytes are more than one read brings. */
#define MOST_DIGITS 8
/* Hexadecimal digits of the size of a chunk. */
#define MOST_HEX_DIGITS 7

/* In place of a slot: the field makes its message unusual, or does not matter. */
#define UNUSUAL (-1)
#define IGNORED (-2)

/* What the fields of a kind of message mean here. A slot is a place for the value of one field. */
typedef struct {
    Table table;
    short slots[MOST_NAMES]; /* for each entry of the table: a slot, UNUSUAL or IGNORED */
    int key_slots;           /* the slots before this one are the key */
    Py_ssize_t longest_key;  /* a message with a longer one is not usual */
} Reader;

typedef struct {
    const unsigned char *at; /* NULL: the field is not there */
    Py_ssize_t size;
} Span;

typedef struct {
    Span values[MOST_SLOTS];
    long flags;                      /* of all fields that are there */
    Py_ssize_t end;                  /* where the head ends, with the empty line */
    Py_ssize_t count;                /* lines */
    Py_ssize_t lines;                /* bytes to forward */
    Py_ssize_t cut_from, cut_to;     /* the line of the field that may be replaced, among the bytes to forward */
    unsigned char out[LONGEST_HEAD]; /* the lines to forward */
} Head;

static Reader requests = {.longest_key = LONGEST_REQUEST_KEY}, responses = {.longest_key = LONGEST_RESPONSE_KEY};
/* Slots that are not for the key alone; set by setup(). */
static int connection_slot, replaceable_slot, appendable_slot, cookie_slot, response_connection_slot, length_slot, coding_slot,
    policy_slot;
static int ready = 0;

/* Whether a value is this word, which is in lower case. */
static int
is_word(Span value, const char *word)
{
    if (value.at == NULL || value.size != (Py_ssize_t)strlen(word))
        return 0;
    for (Py_ssize_t i = 0; i < value.size; i++)
        if (lower[value.at[i]] != (unsigned char)word[i])
            return 0;
    return 1;
}

/* Whether a value has the nonce of a content security policy: it is of one response, not of a kind. */
static int
has_nonce(Span value)
{
    static const char word[] = "'nonce-";
    const Py_ssize_t size = sizeof(word) - 1;
    for (Py_ssize_t i = 0; i + size <= value.size; i++) {
        const unsigned char *quote = memchr(value.at + i, '\'', (size_t)(value.size - i));
        if (quote == NULL)
            return 0;
        i = quote - value.at;
        if (i + size <= value.size && is_word((Span){quote, size}, word))
            return 1;
    }
    return 0;
}

/* Reads the field lines from `at` up to the empty line. Returns 0 if one is not in the usual form, or the head is not
 * complete. */
static int
read_usual_fields(const Reader *reader, const unsigned char *raw, Py_ssize_t at, Py_ssize_t size, int replaceable, Head *head)
{
    memset(head->values, 0, sizeof head->values);
    head->flags = 0;
    head->count = 0;
    unsigned long long seen = 0; /* bit n: entry n of the table is there */
    head->lines = head->cut_from = head->cut_to = 0;
    for (;;) {
        if (size - at < 2)
            return 0;
        if (raw[at] == '\r') {
            head->end = at + 2;
            return raw[at + 1] == '\n';
        }
        Py_ssize_t start = at;
        while (kinds[raw[at]] & 1) /* ends at the latest at the NUL behind the bytes */
            at++;
        Py_ssize_t name_size = at - start;
        if (name_size == 0 || size - at < 4 || raw[at] != ':' || raw[at + 1] != ' ')
            return 0;
        at += 2;
        Py_ssize_t value = at;
        while (kinds[raw[at]] & 2) /* as above */
            at++;
        Py_ssize_t value_size = at - value;
        if (size - at < 2 || raw[at] != '\r' || raw[at + 1] != '\n')
            return 0;
        if (value_size && (raw[value] == ' ' || raw[at - 1] == ' '))
            return 0;
        at += 2;
        if (at > LONGEST_HEAD)
            return 0;
        head->count++;
        const Entry *entry = look_up(&reader->table, raw + start, name_size);
        if (entry == NULL) {
            if (is_other_spelling(&reader->table, raw + start, name_size))
                continue;
        } else {
            int index = (int)(entry - reader->table.entries), slot = reader->slots[index];
            /* A field in several lines is left to the Python machine. */
            if (slot == UNUSUAL || (seen >> index & 1))
                return 0;
            seen |= 1ULL << index;
            if (slot >= 0) {
                head->values[slot].at = raw + value;
                head->values[slot].size = value_size;
                if (slot == replaceable && replaceable >= 0) {
                    head->cut_from = head->lines;
                    head->cut_to = head->lines + (at - start);
                }
            }
            head->flags |= entry->flags;
            if (entry->flags & NOT_FORWARDED)
                continue;
        }
        memcpy(head->out + head->lines, raw + start, (size_t)(at - start));
        head->lines += at - start;
    }
}

/* The key: the prefix, then each value of a key slot. No value has a control character, so two keys cannot be confused.
 * Returns NULL without an exception if it is too long. */
static PyObject *
make_key(PyObject *prefix, const Reader *reader, const Head *head, int has_appended)
{
    Py_ssize_t size = PyBytes_GET_SIZE(prefix) + 1;
    for (int i = 0; i < reader->key_slots; i++)
        size += head->values[i].size + 1;
    if (size > reader->longest_key)
        return NULL;
    PyObject *key = PyBytes_FromStringAndSize(NULL, size);
    if (key == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(key);
    memcpy(to, PyBytes_AS_STRING(prefix), (size_t)PyBytes_GET_SIZE(prefix));
    to += PyBytes_GET_SIZE(prefix);
    *to++ = has_appended ? '\1' : '\2';
    for (int i = 0; i < reader->key_slots; i++) {
        const Span *value = &head->values[i];
        *to++ = value->at != NULL ? '\1' : '\2';
        if (value->size) {
            memcpy(to, value->at, (size_t)value->size);
            to += value->size;
        }
    }
    return key;
}

/* Looks up what is known of a message's kind. Returns 1 with `*found` (borrowed), or 0 with what the caller returns: the
 * key if nothing is known yet, None if the key is too long, NULL with an exception. */
static int
look_up_kind(PyObject *prefix, PyObject *known, const Reader *reader, const Head *head, int has_appended, PyObject **found,
             PyObject **answer)
{
    PyObject *key = make_key(prefix, reader, head, has_appended);
    *answer = NULL;
    if (key == NULL) {
        if (!PyErr_Occurred())
            *answer = Py_NewRef(Py_None);
        return 0;
    }
    *found = PyDict_GetItemWithError(known, key);
    if (*found == NULL && !PyErr_Occurred()) {
        *answer = key;
        return 0;
    }
    Py_DECREF(key);
    return *found != NULL;
}

static PyObject *
bytes_of(Span value)
{
    return PyBytes_FromStringAndSize((const char *)value.at, value.size);
}

/* usual_request(raw, prefix, known, max_lines) */
static PyObject *
usual_request(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (!ready || count != 4 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1]) || !PyDict_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "bytes, bytes, a dict and a number are needed, after setup()");
        return NULL;
    }
    long max_lines = PyLong_AsLong(args[3]);
    if (max_lines == -1 && PyErr_Occurred())
        return NULL;
    const unsigned char *raw = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    if (size > LONGEST_HEAD || size < 18 || memcmp(raw, "GET /", 5) != 0)
        Py_RETURN_NONE;
    Py_ssize_t at = 4;
    while (kinds[raw[at]] & 4) /* ends at the latest at the NUL behind the bytes */
        at++;
    if (size - at < 13 || memcmp(raw + at, " HTTP/1.1\r\n", 11) != 0)
        Py_RETURN_NONE;
    at += 11;
    Head head;
    /* A body, or a further request, is not usual. */
    if (!read_usual_fields(&requests, raw, at, size, replaceable_slot, &head) || head.end != size || head.count > max_lines)
        Py_RETURN_NONE;
    if (head.values[connection_slot].at != NULL && !is_word(head.values[connection_slot], "keep-alive"))
        Py_RETURN_NONE;
    Span appended = head.values[appendable_slot];
    if (appended.at != NULL && appended.size == 0)
        Py_RETURN_NONE;
    PyObject *found, *answer;
    if (!look_up_kind(args[1], args[2], &requests, &head, appended.at != NULL, &found, &answer))
        return answer;
    if (!PyTuple_Check(found) || PyTuple_GET_SIZE(found) < 3 || !PyBytes_Check(PyTuple_GET_ITEM(found, 1)) ||
        !PyBytes_Check(PyTuple_GET_ITEM(found, 2)))
        Py_RETURN_NONE; /* known not to be usual */
    int is_replaced = PyTuple_GET_ITEM(found, 0) == Py_True;
    PyObject *before = PyTuple_GET_ITEM(found, 1), *after = PyTuple_GET_ITEM(found, 2);
    Py_ssize_t cut_from = is_replaced ? head.cut_from : head.lines, cut_to = is_replaced ? head.cut_to : head.lines;
    Py_ssize_t before_size = PyBytes_GET_SIZE(before), after_size = PyBytes_GET_SIZE(after);
    PyObject *sent = PyBytes_FromStringAndSize(
        NULL, at + cut_from + (head.lines - cut_to) + before_size + appended.size + after_size + 2);
    if (sent == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(sent);
    memcpy(to, raw, (size_t)at);
    to += at;
    memcpy(to, head.out, (size_t)cut_from);
    to += cut_from;
    memcpy(to, head.out + cut_to, (size_t)(head.lines - cut_to));
    to += head.lines - cut_to;
    memcpy(to, PyBytes_AS_STRING(before), (size_t)before_size);
    to += before_size;
    if (appended.size) {
        memcpy(to, appended.at, (size_t)appended.size);
        to += appended.size;
    }
    memcpy(to, PyBytes_AS_STRING(after), (size_t)after_size);
    to += after_size;
    memcpy(to, "\r\n", 2);
    PyObject *cookie = bytes_of(head.values[cookie_slot]);
    PyObject *result = cookie ? PyTuple_Pack(3, sent, found, cookie) : NULL;
    Py_DECREF(sent);
    Py_XDECREF(cookie);
    return result;
}

/* The number in a Content-Length; -1 if it is not one in the usual form. */
static Py_ssize_t
length_in(Span value)
{
    if (value.at == NULL || value.size == 0 || value.size > MOST_DIGITS)
        return -1;
    Py_ssize_t length = 0;
    for (Py_ssize_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return -1;
        length = length * 10 + (value.at[i] - '0');
    }
    return length;
}

/* The size in the line of a chunk that begins at `*at`, in the plainest form; `*at` is set behind the line. -1 for any other. */
static Py_ssize_t
chunk_size(const unsigned char *raw, Py_ssize_t size, Py_ssize_t *at)
{
    Py_ssize_t chunk = 0, start = *at, here = start;
    for (; here < size && here - start <= MOST_HEX_DIGITS; here++) {
        unsigned char c = lower[raw[here]];
        if (c >= '0' && c <= '9')
            chunk = chunk * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            chunk = chunk * 16 + (c - 'a' + 10);
        else
            break;
    }
    if (here == start || here - start > MOST_HEX_DIGITS || size - here < 2 || raw[here] != '\r' || raw[here + 1] != '\n')
        return -1;
    *at = here + 2;
    return chunk;
}

/* The bytes of a whole chunked body without extensions and trailers (RFC 9112 section 7.1), which begins at `at`. NULL
 * without an exception for any other. */
static PyObject *
join_chunks(const unsigned char *raw, Py_ssize_t size, Py_ssize_t at)
{
    PyObject *body = PyBytes_FromStringAndSize(NULL, size - at);
    if (body == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(body);
    Py_ssize_t written = 0, chunk;
    while ((chunk = chunk_size(raw, size, &at)) > 0) {
        if (chunk > size - at - 2 || raw[at + chunk] != '\r' || raw[at + chunk + 1] != '\n')
            goto unusual;
        memcpy(to + written, raw + at, (size_t)chunk);
        written += chunk;
        at += chunk + 2;
    }
    if (chunk < 0 || size - at != 2 || raw[at] != '\r' || raw[at + 1] != '\n')
        goto unusual;
    _PyBytes_Resize(&body, written); /* NULL with an exception if it fails */
    return body;
unusual:
    Py_DECREF(body);
    return NULL;
}

/* usual_response(raw, prefix, known, max_lines) */
static PyObject *
usual_response(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    static const char status_line[] = "HTTP/1.1 200 OK\r\n";
    const Py_ssize_t start = sizeof(status_line) - 1;
    if (!ready || count != 4 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1]) || !PyDict_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "bytes, bytes, a dict and a number are needed, after setup()");
        return NULL;
    }
    long max_lines = PyLong_AsLong(args[3]);
    if (max_lines == -1 && PyErr_Occurred())
        return NULL;
    const unsigned char *raw = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    Head head;
    if (size < start + 2 || memcmp(raw, status_line, (size_t)start) != 0 ||
        !read_usual_fields(&responses, raw, start, size, UNUSUAL, &head) || head.count > max_lines)
        Py_RETURN_NONE;
    Span connection = head.values[response_connection_slot], coding = head.values[coding_slot];
    if (connection.at != NULL && !is_word(connection, "keep-alive"))
        Py_RETURN_NONE;
    if (coding.at == NULL ? length_in(head.values[length_slot]) != size - head.end
                          : !is_word(coding, "chunked") || head.values[length_slot].at != NULL)
        Py_RETURN_NONE;
    if (head.values[policy_slot].size && has_nonce(head.values[policy_slot]))
        Py_RETURN_NONE;
    PyObject *found, *answer;
    if (!look_up_kind(args[1], args[2], &responses, &head, 0, &found, &answer))
        return answer;
    PyObject *joined = coding.at == NULL ? Py_NewRef(Py_None) : join_chunks(raw, size, head.end);
    if (joined == NULL)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    return Py_BuildValue(
        "(Oy#nlN)", found, (const char *)head.out, head.lines, head.end, head.flags & 0xFFFFFFF, joined);
}

/* write_response(start, body, from, at, inserted, chunked): `start`, the framing, the empty line, and the bytes of `body`
 * from `from` on, with `inserted` before the byte `at` of those. A chunked body is one chunk. */
static PyObject *
write_response(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 6 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1]) || !PyBytes_Check(args[4])) {
        PyErr_SetString(PyExc_TypeError, "bytes, bytes, two numbers, bytes and a truth value are needed");
        return NULL;
    }
    Py_ssize_t from = PyLong_AsSsize_t(args[2]), at = PyLong_AsSsize_t(args[3]);
    if ((from == -1 || at == -1) && PyErr_Occurred())
        return NULL;
    Py_ssize_t start_size = PyBytes_GET_SIZE(args[0]), size = PyBytes_GET_SIZE(args[1]) - from;
    Py_ssize_t inserted_size = PyBytes_GET_SIZE(args[4]);
    if (from < 0 || size < 0 || at < 0 || at > size) {
        PyErr_SetString(PyExc_ValueError, "a place outside of the body");
        return NULL;
    }
    int chunked = PyObject_IsTrue(args[5]);
    if (chunked < 0)
        return NULL;
    char length[64];
    const char *end = "";
    int length_size;
    if (!chunked) {
        length_size = snprintf(length, sizeof length, "Content-Length: %zd\r\n\r\n", size + inserted_size);
    } else if (size + inserted_size) {
        length_size = snprintf(
            length, sizeof length, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", (size_t)(size + inserted_size));
        end = "\r\n0\r\n\r\n";
    } else {
        length_size = snprintf(length, sizeof length, "Transfer-Encoding: chunked\r\n\r\n");
        end = "0\r\n\r\n";
    }
    size_t end_size = strlen(end);
    PyObject *result =
        PyBytes_FromStringAndSize(NULL, start_size + length_size + size + inserted_size + (Py_ssize_t)end_size);
    if (result == NULL)
        return NULL;
    const char *body = PyBytes_AS_STRING(args[1]) + from;
    char *to = PyBytes_AS_STRING(result);
    memcpy(to, PyBytes_AS_STRING(args[0]), (size_t)start_size);
    to += start_size;
    memcpy(to, length, (size_t)length_size);
    to += length_size;
    memcpy(to, body, (size_t)at);
    to += at;
    memcpy(to, PyBytes_AS_STRING(args[4]), (size_t)inserted_size);
    to += inserted_size;
    memcpy(to, body + at, (size_t)(size - at));
    memcpy(to + (size - at), end, end_size);
    return result;
}

/* Gives each entry of a table its slot: those of the key first. Names that are in neither tuple are UNUSUAL. */
static int
set_slots(Reader *reader, PyObject *key_names, PyObject *other_names, PyObject *ignored)
{
    Py_ssize_t keys = PyTuple_GET_SIZE(key_names), others = PyTuple_GET_SIZE(other_names);
    if (keys + others > MOST_SLOTS) {
        PyErr_SetString(PyExc_ValueError, "at most 24 slots");
        return -1;
    }
    reader->key_slots = (int)keys;
    for (int i = 0; i < reader->table.count; i++) {
        reader->slots[i] = UNUSUAL;
        PyObject *name = reader->table.entries[i].name;
        for (Py_ssize_t k = 0; k < keys + others; k++) {
            PyObject *other = k < keys ? PyTuple_GET_ITEM(key_names, k) : PyTuple_GET_ITEM(other_names, k - keys);
            int same = PyObject_RichCompareBool(name, other, Py_EQ);
            if (same < 0)
                return -1;
            if (same)
                reader->slots[i] = (short)k;
        }
        int is_ignored = PySequence_Contains(ignored, name);
        if (is_ignored < 0)
            return -1;
        if (is_ignored)
            reader->slots[i] = IGNORED;
    }
    return 0;
}

static PyObject *
setup(PyObject *module, PyObject *args)
{
    PyObject *of_request, *request_key, *of_response, *response_key, *request_ignored, *response_ignored;
    PyObject *request_others, *response_others;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!O!O!O!", &PyDict_Type, &of_request, &PyTuple_Type, &request_key, &PyTuple_Type,
                          &request_others, &PyTuple_Type, &request_ignored, &PyDict_Type, &of_response, &PyTuple_Type,
                          &response_key, &PyTuple_Type, &response_others, &PyTuple_Type, &response_ignored))
        return NULL;
    if (fill(&requests.table, of_request) < 0 || fill(&responses.table, of_response) < 0)
        return NULL;
    if (set_slots(&requests, request_key, request_others, request_ignored) < 0 ||
        set_slots(&responses, response_key, response_others, response_ignored) < 0)
        return NULL;
    if (PyTuple_GET_SIZE(request_key) < 1 || PyTuple_GET_SIZE(response_key) < 1 ||
        PyTuple_GET_SIZE(request_others) != 3 || PyTuple_GET_SIZE(response_others) != 3) {
        PyErr_SetString(PyExc_ValueError, "keys, 3 others of requests and 3 of responses are needed; see usual_heads.py");
        return NULL;
    }
    replaceable_slot = 0;
    connection_slot = requests.key_slots;
    cookie_slot = connection_slot + 1;
    appendable_slot = connection_slot + 2;
    response_connection_slot = responses.key_slots;
    length_slot = response_connection_slot + 1;
    coding_slot = response_connection_slot + 2;
    policy_slot = 0;
    ready = 1;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"setup", setup, METH_VARARGS,
     "setup(of_request, key, others, ignored, of_response, key, others, ignored): what fields mean; see usual_heads.py."},
    {"usual_request", (PyCFunction)(void (*)(void))usual_request, METH_FASTCALL,
     "usual_request(raw, prefix, known, max_lines): (head to send, what is known, Cookie) of a usual request; its key "
     "if nothing is known yet; None of any other."},
    {"usual_response", (PyCFunction)(void (*)(void))usual_response, METH_FASTCALL,
     "usual_response(raw, prefix, known, max_lines): (what is known, lines to forward, where the body starts, flags, the body "
     "if it is chunked) of a usual response; its key if nothing is known yet; None of any other."},
    {"write_response", (PyCFunction)(void (*)(void))write_response, METH_FASTCALL,
     "write_response(start, body, from, at, inserted, chunked): the whole response with its framing."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "lbcompanion.http1._usual", "Usual messages in one pass; see usual_heads.py.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__usual(void)
{
    make_kinds();
    return PyModule_Create(&definition);
}
