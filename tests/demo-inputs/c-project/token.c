/*
 * The scanner. Blanks separate tokens and mean nothing else.
 */
#include "token.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void scanner_start(struct scanner *scanner, const char *text)
{
    scanner->text = text;
    scanner->next = text;
    scanner_advance(scanner);
}

/* A number starts with a digit, or with a point before one; strtod alone would also take "inf" and signs. */
static int starts_number(const char *text)
{
    const char *digit = *text == '.' ? text + 1 : text;
    return isdigit((unsigned char)*digit);
}

void scanner_advance(struct scanner *scanner)
{
    struct token *token = &scanner->current;

    while (isspace((unsigned char)*scanner->next)) {
        scanner->next++;
    }
    token->column = (int)(scanner->next - scanner->text) + 1;
    token->number = 0.0;
    token->symbol = *scanner->next;
    if (*scanner->next == '\0') {
        token->kind = TOKEN_END;
    } else if (starts_number(scanner->next)) {
        char *end;
        token->kind = TOKEN_NUMBER;
        token->number = strtod(scanner->next, &end);
        scanner->next = end;
    } else {
        token->kind = strchr("+-*/%^()", *scanner->next) ? TOKEN_SYMBOL : TOKEN_UNKNOWN;
        scanner->next++;
    }
}

int scanner_accept(struct scanner *scanner, char symbol)
{
    if (scanner->current.kind != TOKEN_SYMBOL || scanner->current.symbol != symbol) {
        return 0;
    }
    scanner_advance(scanner);
    return 1;
}
