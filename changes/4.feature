A head is read in one pass, and what goes on to the other side stays one piece of bytes. Methods that are not registered are passed on. The digest of a copy is made when somebody fetches it.
