/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes JSON, indented, to a stdio stream.  A key is NULL inside an array and for the outermost value.
 * Text that is not UTF-8 is written with U+FFFD for the bytes that are not.
 */
#ifndef _CRK_JSON_H
#define _CRK_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <protobuf-c/protobuf-c.h>

struct json {
	FILE *to;
	unsigned int depth;
	bool started;		/* the innermost object or array has a member */
	uint64_t is_array;	/* bit: depth */
};

void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j);		/* of the innermost object or array */

void json_string(struct json *j, const char *key, const char *value);	/* NULL is null */
void json_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_hex(struct json *j, const char *key, uint64_t value);		/* "0x…": addresses */

/* every field that is set, by its name; enums by name, bytes as hexadecimal text */
void json_message(struct json *j, const char *key, const ProtobufCMessage *msg);

#endif /* _CRK_JSON_H */
