/*
 * calc: prints the value of each expression given as an argument, one a line.
 *
 * Exits with 1 when one of them has no value, and with 2 when there are none.
 */
#include <stdio.h>

#include "eval.h"

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: calc EXPRESSION...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        struct result result = eval(argv[i]);
        if (result.error) {
            fprintf(stderr, "calc: column %d: %s\n", result.column, result.error);
            failed = 1;
        } else {
            printf("%.10g\n", result.value);
        }
    }
    return failed;
}
