/* Receiving, sending and waiting, with less work around each system call: socket_io.py says what they do.
 *
 * The GIL is kept while a non-blocking socket is read and written, which takes microseconds: other threads would wait
 * for it, or this one for them. It is released while epoll_wait(2) may wait.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Shorter reads go through this buffer: a new object has the size of the data then, and nothing is given back. */
#define SHORT_READ 65536
#define MOST_EVENTS 1024

/* Used while the GIL is held only. */
static char buffer[SHORT_READ];

static int
descriptor_of(PyObject *object)
{
    long value = PyLong_AsLong(object);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < 0 || value > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "not a descriptor: %ld", value);
        return -1;
    }
    return (int)value;
}

static PyObject *
receive(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "receive(descriptor, size)");
        return NULL;
    }
    int descriptor = descriptor_of(args[0]);
    Py_ssize_t size = descriptor < 0 ? -1 : PyLong_AsSsize_t(args[1]);
    if (descriptor < 0 || (size == -1 && PyErr_Occurred()))
        return NULL;
    if (size < 1) {
        PyErr_SetString(PyExc_ValueError, "receive: a size of 1 or more is needed");
        return NULL;
    }
    if (size <= SHORT_READ) {
        ssize_t received = recv(descriptor, buffer, (size_t)size, 0);
        return received < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyBytes_FromStringAndSize(buffer, received);
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, size);
    if (data == NULL)
        return NULL;
    ssize_t received = recv(descriptor, PyBytes_AS_STRING(data), (size_t)size, 0);
    if (received < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(data);
        return NULL;
    }
    if (received != size)
        _PyBytes_Resize(&data, received);
    return data;
}

static PyObject *
send_bytes(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "send(descriptor, data)");
        return NULL;
    }
    int descriptor = descriptor_of(args[0]);
    if (descriptor < 0)
        return NULL;
    ssize_t sent;
    if (PyBytes_CheckExact(args[1])) {
        sent = send(descriptor, PyBytes_AS_STRING(args[1]), (size_t)PyBytes_GET_SIZE(args[1]), MSG_NOSIGNAL);
    }
    else {
        Py_buffer view;
        if (PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0)
            return NULL;
        sent = send(descriptor, view.buf, (size_t)view.len, MSG_NOSIGNAL);
        int error = errno;
        PyBuffer_Release(&view);
        errno = error;
    }
    return sent < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromSsize_t(sent);
}

/* Call a reader; -1 if the loop must end. */
static int
call_reader(PyObject *reader, PyObject *on_error)
{
    PyObject *result = PyObject_CallNoArgs(reader);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit))
        return -1;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    result = PyObject_CallOneArg(on_error, error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

static PyObject *
wait_for_events(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyDict_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "wait(descriptor, milliseconds, readers, on_error)");
        return NULL;
    }
    int descriptor = descriptor_of(args[0]);
    if (descriptor < 0)
        return NULL;
    long milliseconds = PyLong_AsLong(args[1]);
    if (milliseconds == -1 && PyErr_Occurred())
        return NULL;
    if (milliseconds > INT_MAX)
        milliseconds = INT_MAX;
    PyObject *readers = args[2], *on_error = args[3];
    /* On the stack: a reader may run a loop of its own. */
    struct epoll_event events[MOST_EVENTS];
    int found;
    if (milliseconds == 0) {
        found = epoll_wait(descriptor, events, MOST_EVENTS, 0);
    }
    else {
        Py_BEGIN_ALLOW_THREADS
        found = epoll_wait(descriptor, events, MOST_EVENTS, (int)milliseconds);
        Py_END_ALLOW_THREADS
    }
    if (found < 0) {
        if (errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
        if (PyErr_CheckSignals() < 0)
            return NULL;
        found = 0;
    }
    PyObject *others = PyList_New(0);
    if (others == NULL)
        return NULL;
    for (int index = 0; index < found; index++) {
        int ready = events[index].data.fd;
        if (events[index].events == EPOLLIN) {
            PyObject *key = PyLong_FromLong(ready);
            if (key == NULL)
                goto failed;
            /* A reader that was called before may have removed this one. */
            PyObject *reader = PyDict_GetItemWithError(readers, key);
            Py_DECREF(key);
            if (reader != NULL) {
                Py_INCREF(reader);
                int called = call_reader(reader, on_error);
                Py_DECREF(reader);
                if (called < 0)
                    goto failed;
                continue;
            }
            if (PyErr_Occurred())
                goto failed;
        }
        PyObject *other = Py_BuildValue("(iI)", ready, (unsigned int)events[index].events);
        if (other == NULL)
            goto failed;
        int appended = PyList_Append(others, other);
        Py_DECREF(other);
        if (appended < 0)
            goto failed;
    }
    return others;
failed:
    Py_DECREF(others);
    return NULL;
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL,
     "receive(descriptor, size): the bytes that recv(2) gives, as os.read does."},
    {"send", (PyCFunction)(void (*)(void))send_bytes, METH_FASTCALL,
     "send(descriptor, data): how many bytes send(2) took, as os.write does."},
    {"wait", (PyCFunction)(void (*)(void))wait_for_events, METH_FASTCALL,
     "wait(descriptor, milliseconds, readers, on_error): wait for events of epoll(7); see socket_io.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "lbcompanion.node.transports._socket_io", "See socket_io.py.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__socket_io(void)
{
    return PyModule_Create(&definition);
}
