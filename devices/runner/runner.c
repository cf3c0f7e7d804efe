/*
 * The only program that runs on a device: it makes weight pools and times graphs with ONNX Runtime.
 *
 *     cc -O2 -std=gnu11 -ffp-contract=off runner.c -o runner -ldl -lpthread
 *     ./runner PLAN
 *
 * PLAN is a text file, one `key value ...` per line, in this order (keys that a task does not use may be left out):
 *
 *     loopfront-plan 1
 *     task library | pool | check | memory | time   (`library` loads the runtime; `pool` keeps a pool that is sound)
 *       or bandwidth                    reads `buffer_bytes` of memory with 1 and with `threads` threads in turn
 *     nonce HEX                         repeated in the first and the last record
 *     deadline_s SECONDS                the runner gives up by itself after this long
 *     memory_limit_bytes N              0 for none
 *     cpus N ...                        the only cores to run on; all that the kernel allows if it is left out
 *     library PATH                      libonnxruntime.so
 *     threads N / batch N / prompt_tokens N / context_tokens N / generate_tokens N
 *     deeper_contexts N ...             further depths at which the candidate decodes, the sentinel at context_tokens
 *     deeper_blocks N                   `time`: decode blocks at each of them
 *     prefills N / blocks N / steps N   `time`: how many prefills, decode blocks, and decode steps of each model
 *                                   per block; candidate and sentinel take turns step by step; 0 prefills: decode alone
 *     sentinel_loads_first 0|1          `time`: which of the two is loaded first
 *     buffer_bytes N / repetitions N    `bandwidth`: how much is read, and how often
 *     prompt_ids ID ... / decode_ids ID ... / logit_indices N ...      `check`
 *     pool SEED PATH                    a weight pool; its sections follow
 *     section bytes COUNT
 *     section nibbles COUNT             bytes whose halves are 1 to 15, 8 twice as often: centred int4 codes
 *     section uniform LOW HIGH COUNT
 *     model PATH                        candidate first, then sentinel; the pool lies beside it
 *     vocab N / sequence_lengths 0|1
 *     state INPUT OUTPUT shared|swapped SIZE ...
 *     end
 *
 * It prints JSON lines, each with a "record": hello, library, heartbeat (every 2 s), pool, loaded, warm_up, block,
 * logits, memory, bandwidth, and as its last `failed` or `done`. Only `done` with the nonce and the right number of samples
 * (durations, logits or memory readings printed before it) is a success. It dies with its reader (SIGPIPE). Of runners
 * with the same PLAN file one works at a time; the others wait for a while before their first record.
 *
 * ONNX Runtime's C API is a table of function pointers that only ever grows, so the slots used here are declared
 * by hand and neither its headers nor its SDK are needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach/mach.h>
#else
#include <sched.h>
#include <sys/prctl.h>
#endif

#define RUNNER_VERSION 3
#define HEARTBEAT_S 2.0
#define TURN_S 8.0
#define MAXIMUM_MODELS 2
#define MAXIMUM_RANK 8
#define PAGE_BYTES 4096
#define CHUNK_BYTES (1 << 20)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pools are little-endian files");

/* A record is one JSON line, built and written under a lock, since two threads print. */

static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;
static char record_text[1 << 20];
static size_t record_length;
static size_t samples_printed;
static volatile size_t runs_finished;

static void add(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof record_text - 2 - record_length;
    int wanted = vsnprintf(record_text + record_length, room, format, arguments);
    va_end(arguments);
    record_length += wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
}

static void open_record(const char *name) {
    pthread_mutex_lock(&record_lock);
    record_length = 0;
    add("{\"record\": \"%s\"", name);
}

static void add_text(const char *key, const char *text) {
    add(", \"%s\": \"", key);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f || *c == '"' || *c == '\\') add("\\u%04x", *c);
        else add("%c", *c);
    }
    add("\"");
}

/* JSON has no word for an infinite or undefined number; null makes the reader notice it. */
static void add_number(double number) {
    if (isfinite(number)) add("%.9g", number);
    else add("null");
}

static void add_numbers(const char *key, const double *numbers, size_t count) {
    add(", \"%s\": [", key);
    for (size_t i = 0; i < count; i++) {
        if (i) add(", ");
        add_number(numbers[i]);
    }
    add("]");
    samples_printed += count;
}

static void write_record(void) {
    memcpy(record_text + record_length, "}\n", 2);
    record_length += 2;
    for (size_t sent = 0; sent < record_length;) {
        ssize_t written = write(STDOUT_FILENO, record_text + sent, record_length - sent);
        if (written < 0 && errno != EINTR) _exit(1);
        if (written > 0) sent += (size_t)written;
    }
}

static void send_record(void) {
    write_record();
    pthread_mutex_unlock(&record_lock);
}

__attribute__((noreturn, format(printf, 2, 3)))
static void fail(const char *kind, const char *format, ...) {
    char reason[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    open_record("failed");
    add_text("kind", kind);
    add_text("reason", reason);
    write_record(); /* and keep the lock: the other thread must not print after the last record */
    _exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes ? bytes : 64) != 0) fail("out_of_memory", "no %zu bytes left", bytes);
    return memory;
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The plan, as it was read; see the top of this file. */

enum kind { BYTES, NIBBLES, UNIFORM, KINDS };
struct section { enum kind kind; double low, high; uint64_t count; };
struct pool { char *path; uint64_t seed; struct section *sections; size_t section_count; };
struct state_plan { char *input, *output; int is_shared; int64_t shape[MAXIMUM_RANK]; size_t rank, elements; };
struct model_plan { char *path; int64_t vocab; int takes_lengths; struct state_plan *states; size_t state_count; };
struct ids { int64_t *values; size_t count; };

static struct {
    char *task, *nonce, *library;
    double deadline_s;
    uint64_t memory_limit_bytes;
    int64_t threads, batch, prompt_tokens, context_tokens, generate_tokens, prefills, blocks, steps,
        deeper_blocks, sentinel_loads_first, buffer_bytes, repetitions;
    struct ids prompt_ids, decode_ids, logit_indices, deeper_contexts, cpus;
    struct pool pools[MAXIMUM_MODELS];
    struct model_plan models[MAXIMUM_MODELS];
    size_t pool_count, model_count;
} plan = {.deadline_s = 60, .threads = 1, .batch = 1, .nonce = "", .task = ""};

static void *grown(void *items, size_t count, size_t size) {
    void *larger = realloc(items, (count + 1) * size);
    if (!larger) fail("out_of_memory", "the plan does not fit into memory");
    return larger;
}

static int64_t whole(const char *text, int64_t least) {
    char *end = NULL;
    errno = 0;
    int64_t number = text ? strtoll(text, &end, 10) : 0;
    if (!text || end == text || *end || errno || number < least)
        fail("fault", "plan: bad number '%s'", text ? text : "");
    return number;
}

static double real(const char *text) {
    char *end = NULL;
    double number = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || !isfinite(number)) fail("fault", "plan: bad number '%s'", text ? text : "");
    return number;
}

static char *copied(const char *text) {
    if (!text || !*text) fail("fault", "plan: a value is missing");
    char *copy = strdup(text);
    if (!copy) fail("out_of_memory", "the plan does not fit into memory");
    return copy;
}

static void read_ids(struct ids *ids, char **rest) {
    for (char *word; (word = strtok_r(NULL, " ", rest));) {
        ids->values = grown(ids->values, ids->count, sizeof *ids->values);
        ids->values[ids->count++] = whole(word, 0);
    }
}

static void read_pool(char **rest) {
    if (plan.pool_count == MAXIMUM_MODELS) fail("fault", "plan: more than %d pools", MAXIMUM_MODELS);
    struct pool *pool = &plan.pools[plan.pool_count++];
    char *seed = strtok_r(NULL, " ", rest);
    pool->seed = seed ? strtoull(seed, NULL, 10) : 0;
    pool->path = copied(*rest);
}

static void read_section(char **rest) {
    if (!plan.pool_count) fail("fault", "plan: a section before any pool");
    struct pool *pool = &plan.pools[plan.pool_count - 1];
    struct section section = {0};
    char *kind = copied(strtok_r(NULL, " ", rest));
    const char *names[] = {[BYTES] = "bytes", [NIBBLES] = "nibbles", [UNIFORM] = "uniform"};
    while (section.kind < KINDS && strcmp(kind, names[section.kind])) section.kind++;
    if (section.kind == KINDS) fail("fault", "plan: unknown section '%s'", kind);
    if (section.kind == UNIFORM) section.low = real(strtok_r(NULL, " ", rest));
    if (section.kind == UNIFORM) section.high = real(strtok_r(NULL, " ", rest));
    section.count = (uint64_t)whole(strtok_r(NULL, " ", rest), 1);
    pool->sections = grown(pool->sections, pool->section_count, sizeof section);
    pool->sections[pool->section_count++] = section;
    free(kind);
}

static void read_model(const char *path) {
    if (plan.model_count == MAXIMUM_MODELS) fail("fault", "plan: more than %d models", MAXIMUM_MODELS);
    plan.models[plan.model_count++].path = copied(path);
}

static struct model_plan *last_model(void) {
    if (!plan.model_count) fail("fault", "plan: a property before any model");
    return &plan.models[plan.model_count - 1];
}

static void read_state(char **rest) {
    struct model_plan *model = last_model();
    struct state_plan state = {.elements = 1};
    state.input = copied(strtok_r(NULL, " ", rest));
    state.output = copied(strtok_r(NULL, " ", rest));
    char *kind = strtok_r(NULL, " ", rest);
    state.is_shared = kind && strcmp(kind, "shared") == 0;
    for (char *word; (word = strtok_r(NULL, " ", rest));) {
        if (state.rank == MAXIMUM_RANK) fail("fault", "plan: state %s has too many dimensions", state.input);
        state.shape[state.rank] = whole(word, 1);
        state.elements *= (size_t)state.shape[state.rank++];
    }
    model->states = grown(model->states, model->state_count, sizeof state);
    model->states[model->state_count++] = state;
}

static int64_t *number_named(const char *key) {
    struct { const char *key; int64_t *number; } known[] = {
        {"threads", &plan.threads}, {"batch", &plan.batch}, {"prompt_tokens", &plan.prompt_tokens},
        {"context_tokens", &plan.context_tokens}, {"generate_tokens", &plan.generate_tokens},
        {"prefills", &plan.prefills}, {"blocks", &plan.blocks}, {"steps", &plan.steps},
        {"deeper_blocks", &plan.deeper_blocks}, {"sentinel_loads_first", &plan.sentinel_loads_first},
        {"buffer_bytes", &plan.buffer_bytes}, {"repetitions", &plan.repetitions},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(key, known[i].key) == 0) return known[i].number;
    return NULL;
}

static void read_line(char *line) {
    char *rest = NULL, *key = strtok_r(line, " ", &rest);
    int64_t *number = number_named(key);
    if (number) *number = whole(rest, 0);
    else if (!strcmp(key, "task")) plan.task = copied(rest);
    else if (!strcmp(key, "nonce")) plan.nonce = copied(rest);
    else if (!strcmp(key, "deadline_s")) plan.deadline_s = real(rest);
    else if (!strcmp(key, "memory_limit_bytes")) plan.memory_limit_bytes = (uint64_t)whole(rest, 0);
    else if (!strcmp(key, "library")) plan.library = copied(rest);
    else if (!strcmp(key, "cpus")) read_ids(&plan.cpus, &rest);
    else if (!strcmp(key, "deeper_contexts")) read_ids(&plan.deeper_contexts, &rest);
    else if (!strcmp(key, "prompt_ids")) read_ids(&plan.prompt_ids, &rest);
    else if (!strcmp(key, "decode_ids")) read_ids(&plan.decode_ids, &rest);
    else if (!strcmp(key, "logit_indices")) read_ids(&plan.logit_indices, &rest);
    else if (!strcmp(key, "pool")) read_pool(&rest);
    else if (!strcmp(key, "section")) read_section(&rest);
    else if (!strcmp(key, "model")) read_model(rest);
    else if (!strcmp(key, "vocab")) last_model()->vocab = whole(rest, 1);
    else if (!strcmp(key, "sequence_lengths")) last_model()->takes_lengths = whole(rest, 0) != 0;
    else if (!strcmp(key, "state")) read_state(&rest);
    else fail("fault", "plan: unknown key '%s'", key);
}

static void read_plan(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) fail("fault", "plan %s: %s", path, strerror(errno));
    char *line = NULL;
    size_t room = 0;
    int line_number = 0, is_complete = 0;
    for (ssize_t length; !is_complete && (length = getline(&line, &room, file)) >= 0; line_number++) {
        if (length && line[length - 1] == '\n') line[length - 1] = 0;
        if (line_number == 0 && strcmp(line, "loopfront-plan 1")) fail("fault", "plan: this runner reads version 1");
        is_complete = strcmp(line, "end") == 0;
        if (line_number > 0 && !is_complete && *line) read_line(line);
    }
    if (!is_complete) fail("fault", "plan %s: it has no end", path);
    free(line);
    fclose(file);
}

/* A weight pool: every word follows from (seed, section, index), so that no weights travel. */

static uint64_t mix64(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t section_key(uint64_t seed, uint64_t section) { return mix64(seed + section * 0xD1B54A32D192ED03u); }

static uint64_t word_at(uint64_t key, uint64_t index) { return mix64(key + (index + 1) * 0x9E3779B97F4A7C15u); }

static float uniform_at(uint64_t key, uint64_t index, double low, double high) {
    double share = (double)(word_at(key, index) >> 40) / 16777216.0;
    return (float)(low + (high - low) * share);
}

/* Turn every half byte of 0 into 8: int4 codes then average 8, their zero point. */
static uint64_t centred_nibbles(uint64_t word) {
    uint64_t zeros = ~(word | word >> 1 | word >> 2 | word >> 3) & 0x1111111111111111u;
    return word | zeros << 3;
}

static uint64_t section_bytes(const struct section *section) {
    return section->count * (section->kind == UNIFORM ? 4 : 1);
}

static uint64_t on_page(uint64_t bytes) { return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES; }

static uint64_t pool_bytes(const struct pool *pool) {
    uint64_t end = 0;
    for (size_t s = 0; s < pool->section_count; s++) end = on_page(end + section_bytes(&pool->sections[s]));
    return end;
}

/* Write the section's bytes [from, from + count) to `out`; `from` is a multiple of 8. */
static void generate(const struct section *section, uint64_t key, uint64_t from, size_t count, char *out) {
    if (section->kind == UNIFORM) {
        float *values = (float *)out;
        for (size_t i = 0; i < count / 4; i++) values[i] = uniform_at(key, from / 4 + i, section->low, section->high);
        return;
    }
    for (size_t i = 0; i < count; i += 8) {
        uint64_t word = word_at(key, (from + i) / 8);
        if (section->kind == NIBBLES) word = centred_nibbles(word);
        memcpy(out + i, &word, count - i < 8 ? count - i : 8);
    }
}

static void write_all(int file, const char *bytes, size_t count, const char *path) {
    while (count) {
        ssize_t written = write(file, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            int reason = errno;
            unlink(path);
            fail("fault", "pool %s: %s", path, strerror(reason));
        }
        bytes += written;
        count -= (size_t)written;
    }
}

static void write_section(int file, const struct section *section, uint64_t key, char *chunk, const char *path) {
    uint64_t total = section_bytes(section);
    for (uint64_t from = 0; from < total; from += CHUNK_BYTES) {
        size_t count = total - from < CHUNK_BYTES ? (size_t)(total - from) : CHUNK_BYTES;
        size_t padded = on_page(count);
        memset(chunk + count, 0, padded - count);
        generate(section, key, from, count, chunk);
        write_all(file, chunk, padded, path);
    }
}

static int word_matches(int file, const struct pool *pool, size_t s, uint64_t start, uint64_t from) {
    char expected[8] = {0}, found[8] = {0};
    uint64_t left = section_bytes(&pool->sections[s]) - from;
    size_t count = left < 8 ? (size_t)left : 8;
    generate(&pool->sections[s], section_key(pool->seed, s), from, count, expected);
    return pread(file, found, count, (off_t)(start + from)) == (ssize_t)count && !memcmp(found, expected, count);
}

/* Look at three words of each section: a pool that is cut short, or was made from another plan, must not be timed. */
static int is_sound(const struct pool *pool) {
    struct stat status;
    int file = open(pool->path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    int sound = fstat(file, &status) == 0 && (uint64_t)status.st_size == pool_bytes(pool);
    uint64_t start = 0;
    for (size_t s = 0; sound && s < pool->section_count; s++) {
        uint64_t bytes = section_bytes(&pool->sections[s]);
        sound = word_matches(file, pool, s, start, 0) && word_matches(file, pool, s, start, bytes / 2 / 8 * 8) &&
                word_matches(file, pool, s, start, (bytes - 1) / 8 * 8);
        start = on_page(start + bytes);
    }
    close(file);
    return sound;
}

static void make_pool(const struct pool *pool) {
    char *temporary = allocate(strlen(pool->path) + 32), *chunk = allocate(CHUNK_BYTES);
    sprintf(temporary, "%s.part", pool->path); /* one name, so that what a killed runner left is written over */
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0) fail("fault", "pool %s: %s", temporary, strerror(errno));
    for (size_t s = 0; s < pool->section_count; s++)
        write_section(file, &pool->sections[s], section_key(pool->seed, s), chunk, temporary);
    if (fsync(file) || close(file) || rename(temporary, pool->path)) {
        int reason = errno;
        unlink(temporary);
        fail("fault", "pool %s: %s", pool->path, strerror(reason));
    }
}

static void run_pool(void) {
    if (plan.pool_count != 1) fail("fault", "plan: the task needs one pool");
    double started_ms = now_ms(), size[] = {(double)pool_bytes(&plan.pools[0])};
    int is_kept = is_sound(&plan.pools[0]);
    if (!is_kept) make_pool(&plan.pools[0]);
    open_record("pool");
    add(", \"kept\": %s, \"seconds\": %.3f", is_kept ? "true" : "false", (now_ms() - started_ms) / 1e3);
    add_numbers("bytes", size, 1);
    send_record();
}


/* Slots of OrtApi, counted from 0 in onnxruntime_c_api.h. */

typedef void *handle;
enum slot {
    GetErrorCode = 1, GetErrorMessage = 2, CreateEnv = 3, CreateSession = 7, Run = 9, CreateSessionOptions = 10,
    SetSessionExecutionMode = 13, SetSessionLogSeverityLevel = 22, SetSessionGraphOptimizationLevel = 23,
    SetIntraOpNumThreads = 24, SetInterOpNumThreads = 25, CreateTensorWithDataAsOrtValue = 49,
    CreateCpuMemoryInfo = 69, ReleaseStatus = 93, ReleaseSessionOptions = 100, AddSessionConfigEntry = 130,
};
enum { LEAST_API_VERSION = 17, WARNING = 2, SEQUENTIAL = 0, OPTIMIZE_ALL = 99, FLOAT = 1, INT32 = 6, INT64 = 7 };
struct api_base { const void *const *(*get_api)(uint32_t version); const char *(*get_version)(void); };

static const void *const *api;
static handle environment, cpu_memory;

#define CALL(slot, type) ((type)(uintptr_t)api[slot])

static void check(handle status, const char *doing, const char *what) {
    if (!status) return;
    int code = CALL(GetErrorCode, int (*)(handle))(status);
    const char *message = CALL(GetErrorMessage, const char *(*)(handle))(status);
    fail("refused", "%s %s: ONNX Runtime error %d: %s", doing, what, code, message);
}

static void open_library(void) {
    if (!plan.library) fail("fault", "plan: the task needs a library");
    /* Wheels from 1.29 write a device id under HOME unless this is set before the library loads. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    void *library = dlopen(plan.library, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail("fault", "%s", dlerror());
    struct api_base *(*get_base)(void) = (struct api_base * (*)(void))(uintptr_t) dlsym(library, "OrtGetApiBase");
    if (!get_base) fail("fault", "%s is not ONNX Runtime", plan.library);
    api = get_base()->get_api(LEAST_API_VERSION);
    if (!api) fail("fault", "ONNX Runtime %s is too old", get_base()->get_version());
    check(CALL(CreateEnv, handle (*)(int, const char *, handle *))(WARNING, "runner", &environment), "open", "runtime");
    check(CALL(CreateCpuMemoryInfo, handle (*)(int, int, handle *))(0, 0, &cpu_memory), "open", "memory");
    open_record("library");
    add_text("version", get_base()->get_version());
    send_record();
}

static handle tensor(void *bytes, size_t count, int type, const int64_t *shape, size_t rank) {
    handle value = NULL;
    size_t size = count * (type == INT64 ? 8 : 4);
    typedef handle (*create)(handle, void *, size_t, const int64_t *, size_t, int, handle *);
    check(CALL(CreateTensorWithDataAsOrtValue, create)(cpu_memory, bytes, size, shape, rank, type, &value), "make",
          "tensor");
    return value;
}

static handle session_options(void) {
    handle options = NULL;
    check(CALL(CreateSessionOptions, handle (*)(handle *))(&options), "make", "options");
    check(CALL(SetIntraOpNumThreads, handle (*)(handle, int))(options, (int)plan.threads), "set", "threads");
    check(CALL(SetInterOpNumThreads, handle (*)(handle, int))(options, 1), "set", "inter-op threads");
    check(CALL(SetSessionExecutionMode, handle (*)(handle, int))(options, SEQUENTIAL), "set", "execution mode");
    check(CALL(SetSessionGraphOptimizationLevel, handle (*)(handle, int))(options, OPTIMIZE_ALL), "set", "graph");
    check(CALL(SetSessionLogSeverityLevel, handle (*)(handle, int))(options, WARNING), "set", "log level");
    /* The threads of the model that rests would otherwise spin beside the one that is timed. */
    check(CALL(AddSessionConfigEntry, handle (*)(handle, const char *, const char *))
          (options, "session.force_spinning_stop", "1"), "set", "spinning");
    return options;
}

/* A model is a session and every buffer that it reads and writes. */

struct state { const struct state_plan *plan; float *buffers[2]; handle tensors[2]; };
struct model {
    const struct model_plan *plan;
    handle session, prompt, token, lengths, total, logits;
    int64_t *prompt_ids, *token_ids;
    int32_t *last_positions, total_tokens;
    float *logit_values;
    struct state *states;
    int turn;                /* which of two swapped buffers is read next */
    int64_t context_tokens;  /* how deep it decodes */
    uint64_t decoded;        /* decode steps so far: they choose the token, and which of the tokens to generate it is */
    const char **input_names, **output_names;
    handle *inputs, *outputs;
    size_t fixed_inputs;
};

static void bind_states(struct model *model) {
    size_t count = model->plan->state_count;
    model->states = allocate(count * sizeof *model->states);
    for (size_t s = 0; s < count; s++) {
        struct state *state = &model->states[s];
        state->plan = &model->plan->states[s];
        for (int b = 0; b < 2; b++) {
            int is_first = b == 0 || !state->plan->is_shared;
            state->buffers[b] = is_first ? allocate(state->plan->elements * 4) : state->buffers[0];
            memset(state->buffers[b], 0, state->plan->elements * 4);
            state->tensors[b] = tensor(state->buffers[b], state->plan->elements, FLOAT, state->plan->shape,
                                       state->plan->rank);
        }
        model->input_names[model->fixed_inputs + s] = state->plan->input;
        model->output_names[1 + s] = state->plan->output;
    }
}

static void bind_inputs(struct model *model, int64_t prompt_tokens) {
    int64_t batch = plan.batch, vocab = model->plan->vocab;
    size_t prompt_count = (size_t)(batch * prompt_tokens);
    model->prompt_ids = allocate(prompt_count * 8);
    model->token_ids = allocate((size_t)batch * 8);
    model->last_positions = allocate((size_t)batch * 4);
    model->logit_values = allocate((size_t)(batch * vocab) * 4);
    model->prompt = tensor(model->prompt_ids, prompt_count, INT64, (int64_t[]){batch, prompt_tokens}, 2);
    model->token = tensor(model->token_ids, (size_t)batch, INT64, (int64_t[]){batch, 1}, 2);
    model->lengths = tensor(model->last_positions, (size_t)batch, INT32, &batch, 1);
    model->total = tensor(&model->total_tokens, 1, INT32, NULL, 0);
    model->logits = tensor(model->logit_values, (size_t)(batch * vocab), FLOAT, (int64_t[]){batch, 1, vocab}, 3);
    for (size_t i = 0; i < prompt_count; i++) model->prompt_ids[i] = (int64_t)(word_at(1, i) % (uint64_t)vocab);
}

static void load(struct model *model, const struct model_plan *model_plan, int64_t prompt_tokens) {
    double started_ms = now_ms();
    size_t slots = model_plan->state_count + 3;
    *model = (struct model){.plan = model_plan, .context_tokens = plan.context_tokens,
                            .fixed_inputs = model_plan->takes_lengths ? 3 : 1};
    model->input_names = allocate(slots * sizeof(char *));
    model->output_names = allocate(slots * sizeof(char *));
    model->inputs = allocate(slots * sizeof(handle));
    model->outputs = allocate(slots * sizeof(handle));
    model->input_names[0] = "input_ids";
    model->input_names[1] = "seqlens_k";
    model->input_names[2] = "total_sequence_length";
    model->output_names[0] = "logits";
    handle options = session_options();
    check(CALL(CreateSession, handle (*)(handle, const char *, handle, handle *))
          (environment, model_plan->path, options, &model->session), "load", model_plan->path);
    CALL(ReleaseSessionOptions, void (*)(handle))(options);
    bind_inputs(model, prompt_tokens);
    bind_states(model);
    open_record("loaded");
    add_text("graph", model_plan->path);
    add(", \"milliseconds\": %.3f", now_ms() - started_ms);
    send_record();
}

/* Run the graph once over `ids` so that `total` tokens are then known; return the milliseconds of the run alone. */
static double run_graph(struct model *model, handle ids, int64_t total) {
    size_t states = model->plan->state_count, fixed = model->fixed_inputs;
    model->inputs[0] = ids;
    model->inputs[1] = model->lengths;
    model->inputs[2] = model->total;
    model->outputs[0] = model->logits;
    model->total_tokens = (int32_t)total;
    for (int64_t b = 0; b < plan.batch; b++) model->last_positions[b] = (int32_t)total - 1;
    for (size_t s = 0; s < states; s++) {
        model->inputs[fixed + s] = model->states[s].tensors[model->turn];
        model->outputs[1 + s] = model->states[s].tensors[!model->turn];
        if (model->states[s].plan->is_shared) model->outputs[1 + s] = model->inputs[fixed + s];
    }
    typedef handle (*run)(handle, handle, const char *const *, handle const *, size_t, const char *const *, size_t,
                          handle *);
    double started_ms = now_ms();
    handle status = CALL(Run, run)(model->session, NULL, model->input_names, model->inputs, fixed + states,
                                   model->output_names, 1 + states, model->outputs);
    double elapsed_ms = now_ms() - started_ms;
    check(status, "run", model->plan->path);
    model->turn = !model->turn;
    runs_finished++;
    return elapsed_ms;
}

static void fill_states(struct model *model, int with_noise, int swapped_only) {
    for (size_t s = 0; s < model->plan->state_count; s++) {
        struct state *state = &model->states[s];
        if (swapped_only && state->plan->is_shared) continue;
        float *values = state->buffers[model->turn];
        if (!with_noise) memset(values, 0, state->plan->elements * 4);
        for (size_t i = 0; with_noise && i < state->plan->elements; i++) values[i] = uniform_at(s, i, -0.5, 0.5);
    }
}

static double prefill(struct model *model) {
    fill_states(model, 0, 1);
    return run_graph(model, model->prompt, plan.prompt_tokens);
}

/* One step at the model's depth; it cycles over the tokens to generate, so that no cache overflows. */
static double decode(struct model *model) {
    uint64_t step = model->decoded++;
    for (int64_t b = 0; b < plan.batch; b++)
        model->token_ids[b] = (int64_t)(word_at(2, step) % (uint64_t)model->plan->vocab);
    return run_graph(model, model->token, model->context_tokens + 1 + (int64_t)(step % (uint64_t)plan.generate_tokens));
}

/* What is asked of the operating system: memory, processors, an end with the parent. macOS: compiled, never run. */

#ifdef __APPLE__

/* The words of Linux for resident, peak and anonymous memory. */
static double status_bytes(const char *key) {
    task_vm_info_data_t info;
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
    if (task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)&info, &count)) fail("fault", "task_info gives no memory");
    if (!strcmp(key, "VmRSS")) return (double)info.resident_size;
    if (!strcmp(key, "VmHWM")) return (double)info.resident_size_peak;
    return (double)info.internal;
}

static int reset_high_water_mark(void) { return 0; }

/* Threads cannot be bound to processors. */
static void add_affinity(void) { add("null"); }

static void keep_to_cpus(void) {
    if (plan.cpus.count) fail("fault", "plan: macOS keeps no thread to a cpu");
}

/* The first heartbeat that nobody reads ends it. */
static void die_with_parent(void) {}

#else

static double status_bytes(const char *key) {
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) fail("fault", "/proc/self/status: %s", strerror(errno));
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) sscanf(line + strlen(key), ": %llu", &kilobytes);
    fclose(file);
    return (double)kilobytes * 1024;
}

static int reset_high_water_mark(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    int is_reset = file >= 0 && write(file, "5", 1) == 1;
    if (file >= 0) close(file);
    return is_reset;
}

static void keep_to_cpus(void) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    for (size_t i = 0; i < plan.cpus.count; i++) {
        if (plan.cpus.values[i] >= CPU_SETSIZE) fail("fault", "plan: no cpu %lld", (long long)plan.cpus.values[i]);
        CPU_SET((int)plan.cpus.values[i], &cpus);
    }
    if (plan.cpus.count && sched_setaffinity(0, sizeof cpus, &cpus))
        fail("fault", "the kernel does not let it keep to the plan's cpus: %s", strerror(errno));
}

static void add_affinity(void) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    int is_known = sched_getaffinity(0, sizeof cpus, &cpus) == 0, is_first = 1;
    add(is_known ? "[" : "null");
    for (int cpu = 0; is_known && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &cpus)) continue;
        add(is_first ? "%d" : ", %d", cpu);
        is_first = 0;
    }
    if (is_known) add("]");
}

static void die_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

#endif

static void refuse_above_limit(double bytes) {
    if (plan.memory_limit_bytes && bytes > (double)plan.memory_limit_bytes)
        fail("out_of_memory", "%.1f MB resident is above the limit of %.1f MB", bytes / 1e6,
             (double)plan.memory_limit_bytes / 1e6);
}

static void print_memory(const char *phase, int is_phase_peak) {
    double reading[] = {status_bytes("VmRSS"), status_bytes("VmHWM"), status_bytes("RssAnon")};
    open_record("memory");
    add_text("phase", phase);
    add(", \"peak_since\": \"%s\"", is_phase_peak ? "phase" : "start");
    add_numbers("rss_peak_anonymous_bytes", reading, 3);
    send_record();
    refuse_above_limit(reading[1]);
}

static void need(size_t models) {
    if (plan.model_count != models) fail("fault", "plan: task %s needs %zu models", plan.task, models);
    if (plan.prompt_tokens < 1 || plan.generate_tokens < 1 || plan.batch < 1 || plan.threads < 1)
        fail("fault", "plan: prompt_tokens, generate_tokens, batch and threads must be positive");
    for (size_t m = 0; m < models; m++)
        if (plan.models[m].vocab < 1) fail("fault", "plan: model %s has no vocab", plan.models[m].path);
    for (size_t p = 0; p < plan.pool_count; p++)
        if (!is_sound(&plan.pools[p])) fail("fault", "pool %s does not match its seed", plan.pools[p].path);
    open_library();
}

static void print_logits(const struct model *model, double *values) {
    for (size_t i = 0; i < plan.logit_indices.count; i++) {
        int64_t index = plan.logit_indices.values[i];
        if (index >= model->plan->vocab) fail("fault", "plan: logit %lld is outside the vocabulary", (long long)index);
        values[i] = model->logit_values[index];
    }
    open_record("logits");
    add_numbers("values", values, plan.logit_indices.count);
    send_record();
}

static void run_check(void) {
    plan.prompt_tokens = (int64_t)plan.prompt_ids.count;
    need(1);
    struct model model;
    load(&model, &plan.models[0], plan.prompt_tokens);
    for (int64_t i = 0; i < plan.batch * plan.prompt_tokens; i++)
        model.prompt_ids[i] = plan.prompt_ids.values[i % plan.prompt_tokens];
    double *values = allocate(plan.logit_indices.count * sizeof *values);
    prefill(&model);
    print_logits(&model, values);
    for (size_t d = 0; d < plan.decode_ids.count; d++) {
        for (int64_t b = 0; b < plan.batch; b++) model.token_ids[b] = plan.decode_ids.values[d];
        run_graph(&model, model.token, plan.prompt_tokens + 1 + (int64_t)d);
        print_logits(&model, values);
    }
}

static void run_memory(void) {
    need(1);
    struct model model;
    print_memory("process", reset_high_water_mark());
    load(&model, &plan.models[0], plan.prompt_tokens);
    print_memory("load", 1);
    int is_reset = reset_high_water_mark();
    prefill(&model);
    print_memory("prefill", is_reset);
    fill_states(&model, 1, 0);
    if (plan.deeper_contexts.count) model.context_tokens = plan.deeper_contexts.values[plan.deeper_contexts.count - 1];
    is_reset = reset_high_water_mark();
    for (int64_t step = 0; step < plan.steps; step++) decode(&model);
    print_memory("decode", is_reset);
}

/* Repeat both until a fast and a slow moving average of the candidate agree within 4 %, as androidx.benchmark does. */
static void warm_up(const char *phase, double (*once)(struct model *), struct model models[2], int least,
                    double limit_ms) {
    double started_ms = now_ms(), fast = 0, slow = 0;
    int runs = 0, agreeing = 0;
    while (runs < least || (agreeing < 3 && now_ms() - started_ms < limit_ms)) {
        double elapsed_ms = once(&models[0]);
        once(&models[1]);
        fast = runs < 2 ? elapsed_ms : 0.4 * elapsed_ms + 0.6 * fast;
        slow = runs < 2 ? elapsed_ms : 0.1 * elapsed_ms + 0.9 * slow;
        agreeing = fabs(fast - slow) <= 0.04 * slow ? agreeing + 1 : 0;
        runs++;
    }
    open_record("warm_up");
    add_text("phase", phase);
    add(", \"runs\": %d, \"stable\": %s", runs, agreeing >= 3 ? "true" : "false");
    send_record();
}

static void time_blocks(const char *phase, double (*once)(struct model *), struct model models[2], int64_t blocks,
                        int64_t steps, int with_noise) {
    double *elapsed_ms[2] = {allocate((size_t)steps * 8), allocate((size_t)steps * 8)};
    for (int64_t block = 0; block < blocks; block++) {
        /* Recurrent states start each block alike: endless decoding from noise could drift to slow denormals. */
        for (int m = 0; with_noise && m < 2; m++) fill_states(&models[m], 1, 1);
        for (int64_t turn = 0; turn < 2 * steps; turn++) {
            int which = (int)((turn ^ block) & 1);
            elapsed_ms[which][turn / 2] = once(&models[which]);
        }
        open_record("block");
        add_text("phase", phase);
        add(", \"context_tokens\": %lld", (long long)models[0].context_tokens);
        add(", \"candidate_first\": %s", block & 1 ? "false" : "true");
        add_numbers("candidate_ms", elapsed_ms[0], (size_t)steps);
        add_numbers("sentinel_ms", elapsed_ms[1], (size_t)steps);
        send_record();
    }
}

static void run_time(void) {
    need(2);
    struct model models[2];
    /* The model loaded first can be slower, by where its pages fall: processes take turns, so that it cancels. */
    for (int half = 0; half < 2; half++) {
        int m = half ^ (plan.sentinel_loads_first != 0);
        load(&models[m], &plan.models[m], plan.prompt_tokens);
    }
    if (plan.prefills) {
        warm_up("prefill", prefill, models, 1, 250);
        time_blocks("prefill", prefill, models, plan.prefills, 1, 0);
    }
    if (!plan.blocks) return;
    for (int m = 0; m < 2; m++) fill_states(&models[m], 1, 0);
    warm_up("decode", decode, models, 8, 500);
    time_blocks("decode", decode, models, plan.blocks, plan.steps, 1);
    /* The sentinel stays at its depth: its quiet level is known for that one alone. */
    for (size_t d = 0; d < plan.deeper_contexts.count; d++) {
        models[0].context_tokens = plan.deeper_contexts.values[d];
        for (int m = 0; m < 2; m++) fill_states(&models[m], 1, 1);
        warm_up("decode", decode, models, 4, 500);
        time_blocks("decode", decode, models, plan.deeper_blocks, plan.steps, 1);
    }
}

/* The memory's bandwidth: plain reading, which no decode step can beat. */

#define LARGEST_TEAM 256
typedef uint64_t word_pair __attribute__((vector_size(16))); /* what every SSE2 and NEON register holds */
struct reading { const word_pair *from; size_t count; word_pair sum; };

static void *read_words(void *argument) {
    struct reading *reading = argument;
    const word_pair *from = reading->from, *end = from + reading->count / 8 * 8;
    word_pair a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (; from < end; from += 8) {
        a += from[0], b += from[1], c += from[2], d += from[3];
        e += from[4], f += from[5], g += from[6], h += from[7];
    }
    reading->sum = a + b + c + d + e + f + g + h;
    return NULL;
}

/* Read the buffer once with a team, this thread among it; return the milliseconds until the last is done. */
static double read_buffer(const word_pair *buffer, size_t count, int64_t team) {
    struct reading readings[LARGEST_TEAM];
    pthread_t threads[LARGEST_TEAM];
    size_t share = count / (size_t)team;
    double begun_ms = now_ms();
    for (int64_t t = 0; t < team; t++) {
        readings[t] = (struct reading){.from = buffer + (size_t)t * share, .count = share};
        if (t && pthread_create(&threads[t], NULL, read_words, &readings[t]))
            fail("fault", "thread %lld of %lld did not start", (long long)t, (long long)team);
    }
    read_words(&readings[0]);
    for (int64_t t = 1; t < team; t++) pthread_join(threads[t], NULL);
    double elapsed_ms = now_ms() - begun_ms;
    __asm__ volatile("" : : "m"(readings)); /* or the compiler may leave out a reading that nobody looks at */
    runs_finished++;
    return elapsed_ms;
}

static void print_bandwidth(int64_t team, size_t bytes, const double *elapsed_ms) {
    open_record("bandwidth");
    add(", \"threads\": %lld, \"bytes_read\": %zu", (long long)team, bytes);
    add_numbers("read_ms", elapsed_ms, (size_t)plan.repetitions);
    send_record();
}

static void run_bandwidth(void) {
    if (plan.threads < 1 || plan.threads > LARGEST_TEAM || plan.repetitions < 1 || plan.buffer_bytes < CHUNK_BYTES)
        fail("fault", "plan: task bandwidth needs 1 to %d threads, repetitions, and %d bytes or more", LARGEST_TEAM,
             CHUNK_BYTES);
    int64_t teams[] = {1, plan.threads};
    int kinds = plan.threads > 1 ? 2 : 1;
    size_t count = (size_t)plan.buffer_bytes / sizeof(word_pair);
    word_pair *buffer = allocate(count * sizeof *buffer);
    for (size_t i = 0; i < count; i++) buffer[i] = (word_pair){i, ~i}; /* untouched pages are all the same zeros */
    double *elapsed_ms[] = {allocate((size_t)plan.repetitions * 8), allocate((size_t)plan.repetitions * 8)};
    for (int64_t repetition = -1; repetition < plan.repetitions; repetition++) { /* the first warms up */
        for (int kind = 0; kind < kinds; kind++) {
            double spent_ms = read_buffer(buffer, count, teams[kind]);
            if (repetition >= 0) elapsed_ms[kind][repetition] = spent_ms;
        }
    }
    for (int kind = 0; kind < kinds; kind++)
        print_bandwidth(teams[kind], count / (size_t)teams[kind] / 8 * 8 * (size_t)teams[kind] * sizeof *buffer,
                        elapsed_ms[kind]);
}

static double started_ms;

/* One runner at a time: another agent may have started one here, or a line that broke may have left one at work. The
 * kernel lets go of the lock when this process ends, however it does. */
static void wait_for_turn(const char *plan_path) {
    int file = open(plan_path, O_RDONLY);
    while (file >= 0 && flock(file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        if (now_ms() - started_ms > TURN_S * 1e3)
            fail("busy", "another runner was still at work with %s after %g s", plan_path, TURN_S);
        usleep(20000);
    }
    started_ms = now_ms();
}

static void *watch(void *unused) {
    double beat_ms = now_ms();
    /* Only a memory limit needs a close watch; otherwise the thread should not disturb what is timed. */
    useconds_t pause_us = plan.memory_limit_bytes ? 20000 : 250000;
    for (;; usleep(pause_us)) {
        if (now_ms() - started_ms > plan.deadline_s * 1e3) fail("timed_out", "not done after %g s", plan.deadline_s);
        if (plan.memory_limit_bytes) refuse_above_limit(status_bytes("VmRSS"));
        if (now_ms() - beat_ms < HEARTBEAT_S * 1e3) continue;
        beat_ms = now_ms();
        open_record("heartbeat");
        add(", \"runs\": %zu", runs_finished);
        send_record();
    }
    return unused;
}

static void print_hello(void) {
    open_record("hello");
    add_text("nonce", plan.nonce);
    add_text("task", plan.task);
    add(", \"version\": %d, \"pid\": %d, \"page_bytes\": %ld, \"affinity\": ", RUNNER_VERSION, (int)getpid(),
        sysconf(_SC_PAGESIZE));
    add_affinity();
    send_record();
}

static void limit_process(void) {
    die_with_parent();
    /* Backstops, in case the watch cannot run: it is stricter and says why. */
    alarm((unsigned)plan.deadline_s + 10);
    rlim_t most = (rlim_t)plan.memory_limit_bytes * 2 + (256u << 20);
    if (plan.memory_limit_bytes) setrlimit(RLIMIT_DATA, &(struct rlimit){most, most});
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

int main(int count, char **arguments) {
    started_ms = now_ms();
    if (count != 2) fail("fault", "usage: runner PLAN");
    read_plan(arguments[1]);
    wait_for_turn(arguments[1]);
    limit_process();
    keep_to_cpus();
    print_hello();
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, NULL)) fail("fault", "the watch did not start: %s", strerror(errno));
    if (!strcmp(plan.task, "library")) open_library();
    else if (!strcmp(plan.task, "pool")) run_pool();
    else if (!strcmp(plan.task, "check")) run_check();
    else if (!strcmp(plan.task, "memory")) run_memory();
    else if (!strcmp(plan.task, "time")) run_time();
    else if (!strcmp(plan.task, "bandwidth")) run_bandwidth();
    else fail("fault", "plan: unknown task '%s'", plan.task);
    open_record("done");
    add_text("nonce", plan.nonce);
    add(", \"samples\": %zu, \"seconds\": %.3f", samples_printed, (now_ms() - started_ms) / 1e3);
    send_record();
    _exit(0);
}
