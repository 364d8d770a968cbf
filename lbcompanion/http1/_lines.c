/* The compiled reader of heads: what lbcompanion/http1/field_lines.py does, for heads in the usual form.
 *
 * It knows no rule of its own: a head that is not in the usual form at every byte gives None, and is read, or refused,
 * by the Python reader. Names and their flags are handed in by setup(), so that they stand in one place.
 *
 * No memory is read beyond the bytes object, which ends with a NUL in CPython; every index is checked against its length.
 */
#include "_fields.h"

static Table of_request, of_response;
static int ready = 0;
static PyObject *get_method, *post_method;

/* Joins a further line's value to the one that is there. Returns 0, or -1 with an exception. */
static int
join_value(PyObject *values, const Entry *entry, const unsigned char *value, Py_ssize_t size)
{
    PyObject *before = PyDict_GetItemWithError(values, entry->name);
    if (before == NULL)
        return -1;
    Py_ssize_t old = PyBytes_GET_SIZE(before);
    PyObject *joined = PyBytes_FromStringAndSize(NULL, old + 2 + size);
    if (joined == NULL)
        return -1;
    char *to = PyBytes_AS_STRING(joined);
    memcpy(to, PyBytes_AS_STRING(before), (size_t)old);
    memcpy(to + old, entry->is_cookie ? "; " : ", ", 2);
    memcpy(to + old + 2, value, (size_t)size);
    int failed = PyDict_SetItem(values, entry->name, joined);
    Py_DECREF(joined);
    return failed;
}

/* Reads the field lines from `at`. Returns 1 where all are in the usual form, 0 where not, -1 with an exception. */
static int
read_fields(const Table *table, const unsigned char *raw, Py_ssize_t at, Py_ssize_t size, PyObject **forwardable,
            PyObject **values, long *flags, Py_ssize_t *count)
{
    Py_ssize_t end = size - 2; /* where the empty line begins */
    *forwardable = NULL;
    *values = NULL;
    *flags = 0;
    *count = 0;
    if (end < at || raw[end] != '\r' || raw[end + 1] != '\n')
        return 0;
    PyObject *lines = PyBytes_FromStringAndSize(NULL, end - at);
    PyObject *found = PyDict_New();
    if (lines == NULL || found == NULL)
        goto failed;
    char *to = PyBytes_AS_STRING(lines);
    Py_ssize_t written = 0;
    while (at < end) {
        Py_ssize_t start = at;
        while (kinds[raw[at]] & 1) /* ends at the latest at the line's end, which is no token character */
            at++;
        Py_ssize_t name_size = at - start;
        if (name_size == 0 || raw[at] != ':' || at + 1 >= end || raw[at + 1] != ' ')
            goto unusual;
        at += 2;
        Py_ssize_t value = at;
        while (at < end && (kinds[raw[at]] & 2))
            at++;
        /* The last line ends where the empty line begins. */
        if (at + 1 >= end || raw[at] != '\r' || raw[at + 1] != '\n')
            goto unusual;
        Py_ssize_t value_size = at - value;
        if (value_size && (raw[value] == ' ' || raw[at - 1] == ' '))
            goto unusual;
        at += 2;
        (*count)++;
        const Entry *entry = look_up(table, raw + start, name_size);
        if (entry == NULL ? !is_other_spelling(table, raw + start, name_size) : !(entry->flags & NOT_FORWARDED)) {
            memcpy(to + written, raw + start, (size_t)(at - start));
            written += at - start;
        }
        if (entry == NULL)
            continue;
        int there = PyDict_Contains(found, entry->name);
        if (there < 0)
            goto failed;
        *flags |= entry->flags;
        if (there) {
            if (entry->flags & SINGLETON)
                *flags |= DUPLICATE;
            if (join_value(found, entry, raw + value, value_size) < 0)
                goto failed;
            continue;
        }
        PyObject *said = PyBytes_FromStringAndSize((const char *)raw + value, value_size);
        if (said == NULL)
            goto failed;
        int set = PyDict_SetItem(found, entry->name, said);
        Py_DECREF(said);
        if (set < 0)
            goto failed;
    }
    *flags &= 0xFFFFFFF;
    if (_PyBytes_Resize(&lines, written) < 0)
        goto failed;
    *forwardable = lines;
    *values = found;
    return 1;
unusual:
    Py_DECREF(lines);
    Py_DECREF(found);
    return 0;
failed:
    Py_XDECREF(lines);
    Py_XDECREF(found);
    return -1;
}

static PyObject *
read_request(PyObject *module, PyObject *arg)
{
    if (!ready || !PyBytes_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "bytes are needed, after setup()");
        return NULL;
    }
    const unsigned char *raw = (const unsigned char *)PyBytes_AS_STRING(arg);
    Py_ssize_t size = PyBytes_GET_SIZE(arg);
    Py_ssize_t at = 0;
    while (at < size && at < 32 && ((raw[at] >= 'A' && raw[at] <= 'Z') || raw[at] == '-'))
        at++;
    if (at == 0 || at >= size || raw[at] != ' ' || raw[0] == '-')
        Py_RETURN_NONE;
    Py_ssize_t method_size = at++;
    if (method_size == 7 && memcmp(raw, "CONNECT", 7) == 0)
        Py_RETURN_NONE;
    Py_ssize_t target_at = at;
    while (at < size && (kinds[raw[at]] & 4))
        at++;
    /* What follows is " HTTP/1.x" and a line end: eleven bytes. */
    if (target_at == at || raw[target_at] != '/' || size - at < 13 || memcmp(raw + at, " HTTP/1.", 8) != 0)
        Py_RETURN_NONE;
    int minor = raw[at + 8] - '0';
    if ((minor != 0 && minor != 1) || raw[at + 9] != '\r' || raw[at + 10] != '\n')
        Py_RETURN_NONE;
    PyObject *forwardable, *values;
    long flags;
    Py_ssize_t count;
    int read = read_fields(&of_request, raw, at + 11, size, &forwardable, &values, &flags, &count);
    if (read < 0)
        return NULL;
    if (read == 0)
        Py_RETURN_NONE;
    PyObject *method;
    if (method_size == 3 && memcmp(raw, "GET", 3) == 0)
        method = Py_NewRef(get_method);
    else if (method_size == 4 && memcmp(raw, "POST", 4) == 0)
        method = Py_NewRef(post_method);
    else
        method = PyBytes_FromStringAndSize((const char *)raw, method_size);
    return Py_BuildValue("(Ny#iNNln)", method, (const char *)raw + target_at, at - target_at, 10 + minor, forwardable, values,
                         flags, count);
}

static PyObject *
read_response(PyObject *module, PyObject *arg)
{
    if (!ready || !PyBytes_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "bytes are needed, after setup()");
        return NULL;
    }
    const unsigned char *raw = (const unsigned char *)PyBytes_AS_STRING(arg);
    Py_ssize_t size = PyBytes_GET_SIZE(arg);
    if (size < 17 || memcmp(raw, "HTTP/1.", 7) != 0 || (raw[7] != '0' && raw[7] != '1') || raw[8] != ' ')
        Py_RETURN_NONE;
    int status = 0;
    for (int i = 9; i < 12; i++) {
        if (raw[i] < '0' || raw[i] > '9')
            Py_RETURN_NONE;
        status = status * 10 + (raw[i] - '0');
    }
    if (status < 100 || raw[12] != ' ')
        Py_RETURN_NONE;
    Py_ssize_t at = 13;
    while (at < size && (kinds[raw[at]] & 2))
        at++;
    if (size - at < 4 || raw[at] != '\r' || raw[at + 1] != '\n')
        Py_RETURN_NONE;
    PyObject *forwardable, *values;
    long flags;
    Py_ssize_t count;
    int read = read_fields(&of_response, raw, at + 2, size, &forwardable, &values, &flags, &count);
    if (read < 0)
        return NULL;
    if (read == 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(iiy#NNl)", 10 + raw[7] - '0', status, (const char *)raw + 13, at - 13, forwardable, values, flags);
}

/* Whether a name is one of a tuple of names in lower case. */
static int
is_in(PyObject *names, const unsigned char *name, Py_ssize_t size)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *known = PyTuple_GET_ITEM(names, i);
        if (PyBytes_GET_SIZE(known) != size)
            continue;
        const unsigned char *letters = (const unsigned char *)PyBytes_AS_STRING(known);
        Py_ssize_t at = 0;
        while (at < size && lower[name[at]] == letters[at])
            at++;
        if (at == size)
            return 1;
    }
    return 0;
}

/* Copies a head without the lines of some fields, and with their names after it; see kept_head.py. */
static PyObject *
kept_head(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_Check(args[0]) || !PyTuple_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "bytes and a tuple of names are needed");
        return NULL;
    }
    PyObject *names = args[1];
    unsigned long long lengths = 0; /* bit n: there is a name of n bytes; bit 63: or of more than 62 */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (!PyBytes_Check(name)) {
            PyErr_SetString(PyExc_TypeError, "names are bytes");
            return NULL;
        }
        Py_ssize_t size = PyBytes_GET_SIZE(name);
        lengths |= 1ULL << (size < 63 ? size : 63);
    }
    const unsigned char *raw = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL)
        return NULL;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(result);
    char *left = NULL; /* the names that were left out, each with a line end */
    Py_ssize_t left_size = 0, written = 0, pending = 0, at = 0;
    while (at < size) {
        const unsigned char *feed = memchr(raw + at, '\n', (size_t)(size - at));
        Py_ssize_t next = feed == NULL ? size : feed - raw + 1;
        Py_ssize_t end = at;
        if (at) { /* the first line is the status line */
            while (end < next && (kinds[raw[end]] & 1))
                end++;
        }
        Py_ssize_t name_size = end - at;
        if (name_size && (lengths >> (name_size < 63 ? name_size : 63) & 1) && is_in(names, raw + at, name_size)) {
            if (left == NULL && (left = PyMem_Malloc((size_t)size * 2 + 2)) == NULL) {
                Py_DECREF(result);
                return PyErr_NoMemory();
            }
            memcpy(left + left_size, raw + at, (size_t)name_size);
            left_size += name_size;
            left[left_size++] = '\r';
            left[left_size++] = '\n';
            memcpy(to + written, raw + pending, (size_t)(at - pending));
            written += at - pending;
            pending = next;
        }
        at = next;
    }
    memcpy(to + written, raw + pending, (size_t)(size - pending));
    written += size - pending;
    if (left == NULL)
        return result;
    if (_PyBytes_Resize(&result, written + left_size) == 0)
        memcpy(PyBytes_AS_STRING(result) + written, left, (size_t)left_size);
    PyMem_Free(left);
    return result; /* NULL where it could not be resized */
}

static PyObject *
setup(PyObject *module, PyObject *args)
{
    PyObject *requests, *responses;
    if (!PyArg_ParseTuple(args, "OO", &requests, &responses))
        return NULL;
    if (fill(&of_request, requests) < 0 || fill(&of_response, responses) < 0)
        return NULL;
    ready = 1;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"setup", setup, METH_VARARGS, "setup(of_request, of_response): the names that are set aside, with their flags."},
    {"read_request", read_request, METH_O,
     "(method, target, version, forwardable, values, flags, lines) of a head in the usual form, else None."},
    {"read_response", read_response, METH_O,
     "(version, status, reason, forwardable, values, flags) of a head in the usual form, else None."},
    {"kept_head", (PyCFunction)(void (*)(void))kept_head, METH_FASTCALL,
     "kept_head(raw, left_out): the head without the lines of these fields, then the names of those."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "lbcompanion.http1._lines", "The compiled reader of heads; see field_lines.py.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__lines(void)
{
    make_kinds();
    get_method = PyBytes_FromString("GET");
    post_method = PyBytes_FromString("POST");
    if (get_method == NULL || post_method == NULL)
        return NULL;
    return PyModule_Create(&definition);
}
