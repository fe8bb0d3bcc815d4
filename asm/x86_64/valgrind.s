    // valgrind's request (valgrind.h, amd64-linux).  The rotations by 128 bits in all
    // and the exchange of a register with itself change nothing; valgrind sees them
    // and answers.
    //
    // in:  rax = the address of six words: the request and its arguments, rdx = what
    //      the answer is without valgrind
    // out: rdx = the answer
    rol rdi, 3
    rol rdi, 13
    rol rdi, 61
    rol rdi, 51
    xchg rbx, rbx
