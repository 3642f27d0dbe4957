/*
 * token.c - classes of bytes: the table
 */
#include "http/token.h"

#define V RN__CLASS_VALUE
#define T (V | RN__CLASS_TOKEN)
#define P (V | RN__CLASS_PATH | RN__CLASS_SEGMENT)
#define Q (V | RN__CLASS_QUERY)
#define H (V | RN__CLASS_HOST | RN__CLASS_LITERAL)

const uint8_t rn__byte_classes[256] = {
    ['0' ... '9'] = T | P | Q | H,
    ['A' ... 'Z'] = T | P | Q | H,
    ['a' ... 'z'] = T | P | Q | H,
    ['-'] = T | P | Q | H,
    ['.'] = T | P | Q | H,
    ['_'] = T | P | Q | H,
    ['~'] = T | P | Q | H,
    ['!'] = T | P | Q | H,
    ['$'] = T | P | Q | H,
    ['&'] = T | P | Q | H,
    ['\''] = T | P | Q | H,
    ['*'] = T | P | Q | H,
    ['+'] = T | P | Q | H,
    ['('] = P | Q | H,
    [')'] = P | Q | H,
    [';'] = P | Q | H,
    ['='] = P | Q | H,
    [','] = P | Q,
    ['/'] = RN__CLASS_PATH | Q,
    [':'] = P | Q,
    ['@'] = P | Q,
    ['%'] = T | RN__CLASS_PATH | Q | RN__CLASS_HOST,
    ['['] = P | Q,
    [']'] = P | Q,
    ['^'] = T | P | Q,
    ['|'] = T | P | Q,
    ['`'] = T | Q,
    ['?'] = Q,
    ['{'] = Q,
    ['}'] = Q,
    ['\\'] = Q,
    ['#'] = T,
    ['\t'] = V,
    [' '] = V,
    ['"'] = V,
    ['<'] = V,
    ['>'] = V,
    [0x80 ... 0xff] = V,
};
