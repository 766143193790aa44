/*
 * Evaluation: the value of an expression, or where and why it has none.
 *
 *     sum     = product { ("+" | "-") product }
 *     product = sign { ("*" | "/" | "%") sign }
 *     sign    = { "-" } power
 *     power   = atom [ "^" sign ]              groups to the right: 2^3^2 is 512
 *     atom    = number | "(" sum ")"
 */
#ifndef EVAL_H
#define EVAL_H

struct result {
    double value;
    const char *error; /* NULL when there is a value */
    int column;        /* of the error, counted from 1 */
};

/* Parentheses, signs and powers may nest this deep. */
#define EVAL_DEPTH_MAX 200

struct result eval(const char *text);

#endif
