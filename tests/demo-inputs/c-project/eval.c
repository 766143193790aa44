/*
 * A recursive descent: one function for each rule of the grammar in eval.h.
 *
 * The first error wins. After it every rule returns at once, since no token is accepted any more.
 */
#include "eval.h"

#include <math.h>
#include <stddef.h>

#include "token.h"

struct parser {
    struct scanner scanner;
    int depth;
    const char *error;
    int error_column;
};

static double parse_sum(struct parser *parser);
static double parse_sign(struct parser *parser);

static double fail_at(struct parser *parser, int column, const char *error)
{
    if (!parser->error) {
        parser->error = error;
        parser->error_column = column;
    }
    return 0.0;
}

static double fail(struct parser *parser, const char *error)
{
    return fail_at(parser, parser->scanner.current.column, error);
}

static int accept(struct parser *parser, char symbol)
{
    return !parser->error && scanner_accept(&parser->scanner, symbol);
}

static double parse_atom(struct parser *parser)
{
    struct token token = parser->scanner.current;
    double value;

    if (token.kind == TOKEN_NUMBER) {
        scanner_advance(&parser->scanner);
        return token.number;
    }
    if (accept(parser, '(')) {
        value = parse_sum(parser);
        return accept(parser, ')') ? value : fail(parser, "a closing parenthesis is missing");
    }
    return fail(parser, "a number is expected");
}

static double parse_power(struct parser *parser)
{
    double base = parse_atom(parser);
    return accept(parser, '^') ? pow(base, parse_sign(parser)) : base;
}

/* Every recursion passes here, so this is where the depth is limited. */
static double parse_sign(struct parser *parser)
{
    double value;

    if (parser->depth == EVAL_DEPTH_MAX) {
        return fail(parser, "the expression is nested too deep");
    }
    parser->depth++;
    value = accept(parser, '-') ? -parse_sign(parser) : parse_power(parser);
    parser->depth--;
    return value;
}

static double divide(struct parser *parser, double left, double right, int column)
{
    return right == 0.0 ? fail_at(parser, column, "division by zero") : left / right;
}

static double remainder_of(struct parser *parser, double left, double right, int column)
{
    return right == 0.0 ? fail_at(parser, column, "division by zero") : fmod(left, right);
}

static double parse_product(struct parser *parser)
{
    double value = parse_sign(parser);

    for (;;) {
        int column = parser->scanner.current.column;
        if (accept(parser, '*')) {
            value *= parse_sign(parser);
        } else if (accept(parser, '/')) {
            value = divide(parser, value, parse_sign(parser), column);
        } else if (accept(parser, '%')) {
            value = remainder_of(parser, value, parse_sign(parser), column);
        } else {
            return value;
        }
    }
}

static double parse_sum(struct parser *parser)
{
    double value = parse_product(parser);

    for (;;) {
        if (accept(parser, '+')) {
            value += parse_product(parser);
        } else if (accept(parser, '-')) {
            value -= parse_product(parser);
        } else {
            return value;
        }
    }
}

struct result eval(const char *text)
{
    struct parser parser = {.depth = 0, .error = NULL, .error_column = 0};
    struct result result;

    scanner_start(&parser.scanner, text);
    result.value = parse_sum(&parser);
    if (parser.scanner.current.kind != TOKEN_END) {
        fail(&parser, "an operator is expected");
    }
    result.error = parser.error;
    result.column = parser.error_column;
    return result;
}
