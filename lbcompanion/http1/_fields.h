/* What the compiled readers of heads share: the kinds of characters, and the table of indexed names with their flags.
 *
 * Each extension has tables of its own, which its setup() fills from lbcompanion/http1/field_lines.py.
 */
#ifndef LBC_FIELDS_H
#define LBC_FIELDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#define MOST_NAMES 64
#define LONGEST_NAME 32
#define NOT_FORWARDED (1L << 30)
#define SINGLETON (1L << 29)
#define ONE_SPELLING (1L << 28)
#define DUPLICATE 1L

typedef struct {
    PyObject *name; /* bytes, in lower case */
    Py_ssize_t size;
    long flags;
    int is_cookie;
} Entry;

typedef struct {
    Entry entries[MOST_NAMES];
    int count;
    /* The first entry of each length, and how many there are: entries stand in the order of their lengths. */
    int from[LONGEST_NAME + 2];
} Table;

/* Bits: 1 a token character (RFC 9110 section 5.6.2), 2 may stand in a value, 4 may stand in a target, 8 a token
 * character other than a letter or a digit. */
static unsigned char kinds[256];
static unsigned char lower[256];

static void
make_kinds(void)
{
    for (int c = 0; c < 256; c++) {
        lower[c] = (unsigned char)((c >= 'A' && c <= 'Z') ? c + 32 : c);
        int mark = c != 0 && c < 128 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
        int token = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || mark;
        /* A tab is left to the Python reader. */
        int value = c >= 32 && c != 127;
        int target = c > 32 && c < 127 && c != '#';
        kinds[c] = (unsigned char)(token | (value << 1) | (target << 2) | (mark << 3));
    }
}

static const Entry *
look_up(const Table *table, const unsigned char *name, Py_ssize_t size)
{
    if (size > LONGEST_NAME)
        return NULL;
    for (int i = table->from[size]; i < table->from[size + 1]; i++) {
        const unsigned char *known = (const unsigned char *)PyBytes_AS_STRING(table->entries[i].name);
        Py_ssize_t at = 0;
        while (at < size && lower[name[at]] == known[at])
            at++;
        if (at == size)
            return &table->entries[i];
    }
    return NULL;
}

/* Whether a name that is not in the table differs only in marks from one whose other spellings are not forwarded. */
static int
is_other_spelling(const Table *table, const unsigned char *name, Py_ssize_t size)
{
    if (size > LONGEST_NAME)
        return 0;
    for (int i = table->from[size]; i < table->from[size + 1]; i++) {
        if (!(table->entries[i].flags & ONE_SPELLING))
            continue;
        const unsigned char *known = (const unsigned char *)PyBytes_AS_STRING(table->entries[i].name);
        Py_ssize_t at = 0;
        while (at < size && (known[at] == '-' ? kinds[name[at]] & 8 : lower[name[at]] == known[at]))
            at++;
        if (at == size)
            return 1;
    }
    return 0;
}

/* Fills a table from a dict of names and flags. */
static int
fill(Table *table, PyObject *names)
{
    if (!PyDict_Check(names) || PyDict_Size(names) > MOST_NAMES) {
        PyErr_SetString(PyExc_ValueError, "a dict of at most 64 names is needed");
        return -1;
    }
    for (int i = 0; i < table->count; i++)
        Py_CLEAR(table->entries[i].name);
    table->count = 0;
    for (Py_ssize_t length = 0; length <= LONGEST_NAME; length++) {
        PyObject *name, *flags;
        Py_ssize_t position = 0;
        table->from[length] = table->count;
        while (PyDict_Next(names, &position, &name, &flags)) {
            if (!PyBytes_Check(name) || PyBytes_GET_SIZE(name) == 0 || PyBytes_GET_SIZE(name) > LONGEST_NAME) {
                PyErr_SetString(PyExc_ValueError, "names are bytes, 1 to 32 of them");
                return -1;
            }
            if (PyBytes_GET_SIZE(name) != length)
                continue;
            Entry *entry = &table->entries[table->count];
            entry->flags = PyLong_AsLong(flags);
            if (entry->flags == -1 && PyErr_Occurred())
                return -1;
            entry->name = Py_NewRef(name);
            entry->size = length;
            entry->is_cookie = length == 6 && memcmp(PyBytes_AS_STRING(name), "cookie", 6) == 0;
            table->count++;
        }
    }
    table->from[LONGEST_NAME + 1] = table->count;
    return 0;
}

#endif
