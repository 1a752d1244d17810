// SPDX-License-Identifier: GPL-2.0
/*
 * Writes JSON.  Errors of the stream are for its owner to see: ferror().
 */
#include <inttypes.h>
#include <string.h>

#include "json.h"

/* bytes of the valid UTF-8 sequence at @s, 0 if it is none */
static size_t utf8_len(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = *s < 0x80 ? 1 : (*s >> 5) == 6 ? 2 : (*s >> 4) == 14 ? 3 : (*s >> 3) == 30 ? 4 : 0;
	uint32_t c = len < 2 ? *s : *s & (0x7f >> len);
	size_t i;

	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (len > 1 && (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
		return 0;
	return len;
}

static void put_text(struct json *j, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	putc('"', j->to);
	while (*s) {
		size_t len = utf8_len(s);

		if (*s == '"' || *s == '\\')
			fprintf(j->to, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(j->to, "\\u%04x", *s);
		else if (len)
			fwrite(s, 1, len, j->to);
		else
			fputs("\\ufffd", j->to);
		s += len ? len : 1;
	}
	putc('"', j->to);
}

/* what stands before a value */
static void next(struct json *j, const char *key)
{
	if (j->depth)
		fprintf(j->to, "%s\n%*s", j->started ? "," : "", 2 * (int)j->depth, "");
	j->started = true;
	if (key) {
		put_text(j, key);
		fputs(": ", j->to);
	}
}

static void begin(struct json *j, const char *key, bool is_array)
{
	next(j, key);
	putc(is_array ? '[' : '{', j->to);
	j->depth++;
	j->started = false;
	j->is_array &= ~(1ULL << j->depth);
	j->is_array |= (uint64_t)is_array << j->depth;
}

void json_object(struct json *j, const char *key)
{
	begin(j, key, false);
}

void json_array(struct json *j, const char *key)
{
	begin(j, key, true);
}

void json_end(struct json *j)
{
	bool is_array = j->is_array >> j->depth & 1;

	j->depth--;
	if (j->started)
		fprintf(j->to, "\n%*s", 2 * (int)j->depth, "");
	putc(is_array ? ']' : '}', j->to);
	j->started = true;
	if (!j->depth)
		putc('\n', j->to);
}

void json_string(struct json *j, const char *key, const char *value)
{
	next(j, key);
	if (value)
		put_text(j, value);
	else
		fputs("null", j->to);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
	next(j, key);
	fprintf(j->to, "%" PRIu64, value);
}

void json_int(struct json *j, const char *key, int64_t value)
{
	next(j, key);
	fprintf(j->to, "%" PRId64, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	next(j, key);
	fputs(value ? "true" : "false", j->to);
}

void json_hex(struct json *j, const char *key, uint64_t value)
{
	next(j, key);
	fprintf(j->to, "\"0x%" PRIx64 "\"", value);
}

static size_t put_field(struct json *j, const char *key, const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		json_int(j, key, *(const int32_t *)value);
		return sizeof(int32_t);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		json_int(j, key, *(const int64_t *)value);
		return sizeof(int64_t);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		json_uint(j, key, *(const uint64_t *)value);
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_BOOL:
		json_bool(j, key, *(const protobuf_c_boolean *)value);
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
		json_string(j, key, *(const char * const *)value);
		return sizeof(char *);
	case PROTOBUF_C_TYPE_MESSAGE:
		json_message(j, key, *(const ProtobufCMessage * const *)value);
		return sizeof(ProtobufCMessage *);
	case PROTOBUF_C_TYPE_ENUM: {
		const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(field->descriptor,
										   *(const int *)value);

		if (e)
			json_string(j, key, e->name);
		else
			json_int(j, key, *(const int *)value);
		return sizeof(int);
	}
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *bin = value;
		size_t i;

		next(j, key);
		putc('"', j->to);
		for (i = 0; i < bin->len; i++)
			fprintf(j->to, "%02x", bin->data[i]);
		putc('"', j->to);
		return sizeof(*bin);
	}
	default:	/* no message of ours has floating point */
		json_uint(j, key, *(const uint32_t *)value);
		return sizeof(uint32_t);
	}
}

static bool is_set(const ProtobufCFieldDescriptor *field, const char *msg)
{
	if (field->label != PROTOBUF_C_LABEL_OPTIONAL)
		return true;
	if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const void *p = *(const void * const *)(msg + field->offset);

		return p && p != field->default_value;
	}
	return *(const protobuf_c_boolean *)(msg + field->quantifier_offset);
}

void json_message(struct json *j, const char *key, const ProtobufCMessage *msg)
{
	unsigned int i;

	json_object(j, key);
	for (i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
		const char *base = (const char *)msg, *value = base + field->offset;
		size_t n;

		if (!is_set(field, base))
			continue;
		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			put_field(j, field->name, field, value);
			continue;
		}
		json_array(j, field->name);
		value = *(const char * const *)value;
		for (n = *(const size_t *)(base + field->quantifier_offset); n; n--)
			value += put_field(j, NULL, field, value);
		json_end(j);
	}
	json_end(j);
}
