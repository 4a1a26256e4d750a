// SPDX-License-Identifier: BSD-2-Clause
// open.c - options and state of pcap ports.
#include "port/pcap/pcap_port.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/error.h"

/* Options as given. */
struct options {
	const char *read, *write;
	double factor, pps;
	long laps; /* 0: for ever */
	long snaplen;
	char speed[PCAP_SPEED_SIZE];
};

static int speed_bad(struct glen_error *error)
{
	return error_set(error, -EINVAL,
			 "speed must be \"recorded\", \"max\", a factor such "
			 "as \"2.5x\" or a rate such as \"1000pps\"");
}

static int speed_text(const char *text, struct options *o,
		      struct glen_error *error)
{
	char *end;
	double value;

	if (!strcmp(text, "recorded"))
		return 0;
	o->factor = 0;
	if (!strcmp(text, "max"))
		return 0;
	value = strtod(text, &end);
	if (end == text || !isfinite(value) || value < 1e-6 || value > 1e9)
		return speed_bad(error);
	if (!strcmp(end, "pps"))
		o->pps = value;
	else if (!strcmp(end, "x") || !*end)
		o->factor = value;
	else
		return speed_bad(error);
	return 0;
}

/* "speed": text, or a number as a factor. */
static int speed_read(json_t *params, struct options *o,
		      struct glen_error *error)
{
	json_t *value = json_object_get(params, "speed");

	o->factor = 1;
	strcpy(o->speed, "recorded");
	if (!value)
		return 0;
	if (json_is_string(value)) {
		const char *text = json_string_value(value);

		if (strlen(text) >= sizeof(o->speed))
			return speed_bad(error);
		strcpy(o->speed, text);
	} else if (json_is_number(value)) {
		snprintf(o->speed, sizeof(o->speed), "%gx",
			 json_number_value(value));
	} else {
		return speed_bad(error);
	}
	return speed_text(o->speed, o, error);
}

/* "loop": how often, or "forever". */
static int loop_read(json_t *params, struct options *o,
		     struct glen_error *error)
{
	json_t *value = json_object_get(params, "loop");

	if (json_is_string(value) &&
	    !strcmp(json_string_value(value), "forever"))
		return 0;
	if (value && !json_is_integer(value))
		return error_set(error, -EINVAL,
				 "loop must be a number of times or "
				 "\"forever\"");
	return params_int(params, "loop", 1, 1, INT32_MAX, &o->laps, error);
}

static int options_read(json_t *params, struct options *o,
			struct glen_error *error)
{
	static const char *const known[] = { "read", "write",	"speed",
					     "loop", "snaplen", NULL };
	int err = params_check(params, known, error);

	if (!err)
		err = params_str(params, "read", &o->read, error);
	if (!err)
		err = params_str(params, "write", &o->write, error);
	if (!err && !o->read && !o->write)
		err = error_set(error, -EINVAL,
				"a pcap port needs read=FILE, write=FILE or "
				"both");
	if (!err)
		err = speed_read(params, o, error);
	if (!err)
		err = loop_read(params, o, error);
	if (!err)
		err = params_int(params, "snaplen", PCAP_SNAPLEN_MAX, 14,
				 PCAP_SNAPLEN_MAX, &o->snaplen, error);
	return err;
}

/* Writing would empty the file that is to be read. */
static int same_file_check(const struct options *o, struct glen_error *error)
{
	struct stat a, b;

	if (!o->read || !o->write || stat(o->read, &a) || stat(o->write, &b) ||
	    a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return 0;
	return error_set(error, -EINVAL,
			 "read and write are the same file: %.200s", o->read);
}

static int pcap_port_open(struct port *port, struct port_args *args,
			  struct glen_error *error)
{
	struct options o = { 0 };
	struct pcap_port *p;
	int err = options_read(args->params, &o, error);

	if (!err)
		err = same_file_check(&o, error);
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(error, -ENOMEM, "no memory for the port");
	memcpy(p->speed, o.speed, sizeof(p->speed));
	/* The reader first: a typo in its name shall not empty a file. */
	if (o.read)
		err = pcap_reader_open(&p->reader, o.read, o.factor, o.pps,
				       o.laps, error);
	if (!err && o.write)
		err = pcap_writer_open(&p->writer, o.write, o.snaplen,
				       args->resume, port, error);
	if (err)
		goto err_close;
	if (p->reader) {
		port->in[0].drv = p->reader;
		port->in[0].in_fd = p->reader->timer_fd;
		port->n_in = 1;
	}
	if (p->writer) {
		port->out[0].drv = p->writer;
		port->n_out = 1;
	}
	port->caps = 0;
	port->drv = p;
	return 0;

err_close:
	pcap_reader_close(p->reader);
	free(p);
	return err;
}

static void pcap_port_close(struct port *port)
{
	struct pcap_port *p = port->drv;

	pcap_reader_close(p->reader);
	pcap_writer_close(p->writer);
	free(p);
	port->drv = NULL;
}

/* All that was read has also left the ring. */
static bool reader_done(struct pcap_reader *rd)
{
	return atomic_load(&rd->done) &&
	       !pcap_ring_peek(&rd->ring, atomic_load(&rd->ring.tail));
}

static void show_reader(const struct pcap_port *p, json_t *object)
{
	struct pcap_reader *rd = p->reader;
	bool done = reader_done(rd);

	json_object_set_new(object, "read", json_string(rd->path));
	json_object_set_new(object, "speed", json_string(p->speed));
	json_object_set_new(object, "loop",
			    rd->laps ? json_integer(rd->laps) :
				       json_string("forever"));
	json_object_set_new(object, "loops_done",
			    json_integer(atomic_load(&rd->n_laps)));
	json_object_set_new(object, "done", json_boolean(done));
	if (done && rd->error[0])
		json_object_set_new(object, "read_error",
				    json_string(rd->error));
}

static void pcap_port_show(struct port *port, json_t *object)
{
	struct pcap_port *p = port->drv;

	if (p->reader)
		show_reader(p, object);
	if (!p->writer)
		return;
	json_object_set_new(object, "write", json_string(p->writer->path));
	json_object_set_new(object, "written",
			    json_integer(atomic_load(&p->writer->n_written)));
	if (atomic_load(&p->writer->error))
		json_object_set_new(object, "write_error",
				    json_string(strerror(
					    atomic_load(&p->writer->error))));
}

const struct port_ops pcap_port_ops = {
	.name = "pcap",
	.summary = "replays a capture file, writes another",
	.options = "read=FILE     replay this pcap or pcapng file\n"
		   "speed=SPEED   recorded, max, a factor (2.5x) or a rate "
		   "(1000pps) (recorded)\n"
		   "loop=N        replay it so many times, or forever (1)\n"
		   "write=FILE    write packets that leave the switch here\n"
		   "snaplen=N     only so many bytes of each (262144)\n",
	.open = pcap_port_open,
	.close = pcap_port_close,
	.show = pcap_port_show,
	.hot = ISA_SAME(&pcap_hot),
};
