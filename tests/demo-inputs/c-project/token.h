/*
 * Tokens: an expression, cut into numbers, operators and parentheses.
 *
 * The scanner keeps one token of look-ahead, which is all that the grammar needs. It knows nothing of precedence.
 */
#ifndef TOKEN_H
#define TOKEN_H

enum token_kind {
    TOKEN_END,
    TOKEN_NUMBER,
    TOKEN_SYMBOL, /* one of + - * / % ^ ( ) */
    TOKEN_UNKNOWN
};

struct token {
    enum token_kind kind;
    double number; /* of TOKEN_NUMBER */
    char symbol;   /* of TOKEN_SYMBOL and TOKEN_UNKNOWN */
    int column;    /* counted from 1, for messages */
};

struct scanner {
    const char *text;
    const char *next;
    struct token current;
};

/* Starts at the first token of `text`, which must outlive the scanner. */
void scanner_start(struct scanner *scanner, const char *text);

/* Moves to the next token. At the end it stays at TOKEN_END. */
void scanner_advance(struct scanner *scanner);

/* Moves on and returns 1 if the current token is this symbol; otherwise stays and returns 0. */
int scanner_accept(struct scanner *scanner, char symbol);

#endif
