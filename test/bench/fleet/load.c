/*
 * Gateways that check in, as many as one core can play: `load PORT KEYS [options]`. Each request is of the next key, on
 * a connection and from a source address of its own. Prints one line of JSON.
 *
 *   -c N   at once (64)      -n N  in all (10000)     -r N  a second, whatever the answers do (as fast as they come)
 *   -t     over TLS, a full handshake each            -H    long polls: open N of them, say so, hold them until stdin ends
 *   -T     over TLS, each after the first resumed by the ticket of an earlier one
 *   -s N   begin with the key of this number          -b F   write the form in this file, and read
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KEY_LENGTH = 40, MOST_EVENTS = 256 };
enum state { FREE, CONNECTING, SHAKING, SENDING, READING };

struct connection {
  enum state state;
  int fd, filled, sent, length;
  double due;
  SSL *ssl;
  char request[6144], answer[2048];
};

static int port, at_once = 64, total = 10000, first, is_tls, resumes, holds, events;
static double rate;
static char form[4096];
static int form_length;
static char (*keys)[KEY_LENGTH + 1];
static int key_count, started, done, failed, held;
static double *latencies;
static SSL_CTX *tls;
static SSL_SESSION *session;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void read_keys(const char *path) {
  FILE *file = fopen(path, "r");
  char line[256];
  int room = 0;
  if (file == NULL) die(path);
  while (fgets(line, sizeof line, file) != NULL) {
    if (strlen(line) < KEY_LENGTH) continue;
    if (key_count == room) keys = realloc(keys, (room = room ? 2 * room : 4096) * sizeof *keys);
    memcpy(keys[key_count], line, KEY_LENGTH);
    keys[key_count++][KEY_LENGTH] = 0;
  }
  fclose(file);
}

static void read_form(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) die(path);
  form_length = (int)fread(form, 1, sizeof form, file);
  fclose(file);
}

static void watch(struct connection *c, uint32_t wanted, int change) {
  struct epoll_event event = {.events = wanted, .data.ptr = c};
  epoll_ctl(events, change, c->fd, &event);
}

/* The first ticket that comes is kept for all that follow. */
static int keep_session(SSL *ssl, SSL_SESSION *given) {
  (void)ssl;
  if (session != NULL) return 0;
  session = given;
  return 1;
}

static void finish(struct connection *c, int is_good) {
  if (is_good) latencies[done++] = now() - c->due;
  else failed++;
  if (c->ssl != NULL) SSL_free(c->ssl);
  c->ssl = NULL;
  close(c->fd);
  c->state = FREE;
}

/* Each from an address of its own below 127: a platform counts connections by address. */
static void begin(struct connection *c, double due) {
  int number = (first + started++) % key_count;
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
  from.sin_addr.s_addr = htonl(0x7f010001 + (number % 200) * 256 + number / 200 % 200);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
  c->length = snprintf(c->request, sizeof c->request,
                       "%s /onep:v1/stack/alias?engine_fetch&update_interval HTTP/1.1\r\nHost: localhost:%d\r\n"
                       "X-Exosite-CIK: %s\r\nAccept: application/x-www-form-urlencoded; charset=utf-8\r\n"
                       "%s",
                       form_length ? "POST" : "GET", port, keys[number],
                       holds ? "Request-Timeout: 290000\r\n" : "Connection: close\r\n");
  if (form_length > 0)
    c->length += sprintf(c->request + c->length, "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
                         "Content-Length: %d\r\n", form_length);
  c->length += sprintf(c->request + c->length, "\r\n");
  memcpy(c->request + c->length, form, form_length);
  c->length += form_length;
  c->sent = c->filled = 0;
  c->due = due;
  c->state = CONNECTING;
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0) die("bind");
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) finish(c, 0);
  else watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

/* 1: done; 0: wait for the socket; -1: broken. */
static int shake(struct connection *c) {
  int result = SSL_do_handshake(c->ssl);
  if (result == 1) return 1;
  int error = SSL_get_error(c->ssl, result);
  if (error == SSL_ERROR_WANT_READ) watch(c, EPOLLIN, EPOLL_CTL_MOD);
  else if (error == SSL_ERROR_WANT_WRITE) watch(c, EPOLLOUT, EPOLL_CTL_MOD);
  else return -1;
  return 0;
}

static int send_rest(struct connection *c) {
  const char *from = c->request + c->sent;
  int left = c->length - c->sent;
  int sent = c->ssl ? SSL_write(c->ssl, from, left) : (int)send(c->fd, from, left, MSG_NOSIGNAL);
  if (sent <= 0) return -1;
  c->sent += sent;
  return c->sent == c->length;
}

/* Answers are small; with `Connection: close` their end is the end of the connection. */
static int read_more(struct connection *c) {
  for (;;) {
    char *to = c->answer + c->filled;
    int room = (int)sizeof c->answer - 1 - c->filled;
    if (room <= 0) return -1;
    int got = c->ssl ? SSL_read(c->ssl, to, room) : (int)recv(c->fd, to, room, 0);
    if (got > 0) {
      c->filled += got;
      continue;
    }
    int waits = c->ssl ? SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN;
    if (waits) return 0;
    c->answer[c->filled] = 0;
    return strncmp(c->answer, "HTTP/1.1 2", 10) == 0 ? 1 : -1;
  }
}

static void step(struct connection *c) {
  int result = 1;
  if (c->state == CONNECTING) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return finish(c, 0);
    c->state = SENDING;
    if (is_tls) {
      c->ssl = SSL_new(tls);
      SSL_set_fd(c->ssl, c->fd);
      SSL_set_connect_state(c->ssl);
      if (resumes && session != NULL) {
        /* One that is in use is spoilt when its connection ends without a word. */
        SSL_SESSION *copy = SSL_SESSION_dup(session);
        SSL_set_session(c->ssl, copy);
        SSL_SESSION_free(copy);
      }
      c->state = SHAKING;
    }
  }
  if (c->state == SHAKING && (result = shake(c)) == 1) c->state = SENDING;
  if (result == 1 && c->state == SENDING && (result = send_rest(c)) == 1) {
    c->state = READING;
    held++;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
  }
  if (result == 1 && c->state == READING && (result = read_more(c)) == 1) return finish(c, 1);
  if (result == -1) finish(c, 0);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double share(double part) {
  return done == 0 ? 0 : latencies[(int)((done - 1) * part)] * 1000;
}

static void read_options(int count, char **words) {
  int letter;
  while ((letter = getopt(count, words, "c:n:r:s:b:tTH")) != -1) {
    if (letter == 'c') at_once = atoi(optarg);
    if (letter == 'n') total = atoi(optarg);
    if (letter == 'r') rate = atof(optarg);
    if (letter == 's') first = atoi(optarg);
    if (letter == 't' || letter == 'T') is_tls = 1;
    if (letter == 'T') resumes = 1;
    if (letter == 'H') holds = 1;
    if (letter == 'b') read_form(optarg);
  }
  if (count - optind != 2) {
    fprintf(stderr, "usage: load [options] PORT KEYS\n");
    exit(2);
  }
  port = atoi(words[optind]);
  read_keys(words[optind + 1]);
}

/* Long polls: all are sent, told of, and held. */
static void hold(struct connection *all) {
  struct epoll_event ready[MOST_EVENTS];
  while (held + failed < total) {
    for (int at = 0; at < total && started < total && started - held - failed < 64; at++)
      if (all[at].state == FREE && at == started) begin(&all[at], now());
    int count = epoll_wait(events, ready, MOST_EVENTS, 10);
    for (int at = 0; at < count; at++) step(ready[at].data.ptr);
  }
  printf("{\"held\":%d,\"failed\":%d}\n", held, failed);
  fflush(stdout);
  while (getchar() != EOF) continue;
}

static void drive(struct connection *all) {
  struct epoll_event ready[MOST_EVENTS];
  double begun = now();
  while (done + failed < total) {
    double time = now();
    int wanted = rate > 0 ? (int)((time - begun) * rate) + 1 : total;
    for (int at = 0; at < at_once && started < total && started < wanted; at++)
      if (all[at].state == FREE) begin(&all[at], rate > 0 ? begun + started / rate : time);
    int count = epoll_wait(events, ready, MOST_EVENTS, 1);
    for (int at = 0; at < count; at++) step(ready[at].data.ptr);
  }
  double seconds = now() - begun;
  qsort(latencies, done, sizeof *latencies, ascending);
  printf("{\"done\":%d,\"failed\":%d,\"seconds\":%.3f,\"p50\":%.2f,\"p99\":%.2f,\"most\":%.2f}\n", done, failed,
         seconds, share(0.5), share(0.99), share(1));
}

int main(int count, char **words) {
  struct rlimit files = {1 << 18, 1 << 18};
  setrlimit(RLIMIT_NOFILE, &files);
  read_options(count, words);
  if (holds) at_once = total;
  if (is_tls) {
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set1_groups_list(tls, "X25519");
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (resumes) SSL_CTX_sess_set_new_cb(tls, keep_session);
  }
  events = epoll_create1(0);
  latencies = calloc(total, sizeof *latencies);
  struct connection *all = calloc(at_once, sizeof *all);
  if (holds) hold(all);
  else drive(all);
  return 0;
}
