#!/bin/sh
# Asks ./calc for answers that are known, and fails if one of them is wrong.
set -u

asked=0
wrong=0

# check EXPECTED EXPRESSION: the output, or the message, must be EXPECTED.
check() {
    asked=$((asked + 1))
    actual=$(./calc "$2" 2>&1)
    if [ "$actual" != "$1" ]; then
        wrong=$((wrong + 1))
        echo "calc '$2' gave '$actual', not '$1'"
    fi
}

check 7 '1 + 2 * 3'
check 9 '(1 + 2) * 3'
check 1 '7 - 4 - 2'
check 2.5 '10 / 4'
check 1 '10 % 3'
check 512 '2 ^ 3 ^ 2'
check -4 '-2 ^ 2'
check 0.25 '2 ^ -2'
check 3 '--3'
check 0.5 '.5'
check 1024 '  2^10  '
check 'calc: column 5: a number is expected' '1 + '
check 'calc: column 3: an operator is expected' '1 2'
check 'calc: column 7: a closing parenthesis is missing' '(1 + 2'
check 'calc: column 3: division by zero' '1 / (2 - 2)'
check 'calc: column 1: a number is expected' 'inf'

deep=$(printf '%0300d' 0 | tr 0 '(')
check 'calc: column 201: the expression is nested too deep' "$deep"

echo "$asked expressions, $wrong wrong"
[ "$wrong" -eq 0 ]
