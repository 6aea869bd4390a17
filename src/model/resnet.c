/* resnet.c -- residual networks of small images (He, Zhang, Ren & Sun 2016, arXiv:1512.03385, section 4.2): classes.
 *
 *   x = act(norm(conv 3x3(image)))                                          width channels
 *   block, n = (depth - 2) / 6 in each of three stages:
 *       x = act(norm(conv 3x3(act(norm(conv 3x3(x))))) + shortcut(x))       width, 2 width, 4 width channels
 *   output = W mean of places(x) + b
 *
 * The second and third stage begin with a stride of 2. Their first shortcut is norm(conv 1x1(x)), of the same stride
 * (the paper's option B), or every second place of x with zeros for the new channels (option A: no weights); all others
 * are x. Kernels are drawn as He et al. 2015 have it, from their inputs,
 * or before a tanh as Glorot & Bengio 2010; convolutions have biases only where no norm follows. Names and shapes in
 * files are those of torchvision. */
#include <stdio.h>

#include "base/memory.h"
#include "layer/layers.h"
#include "model/parts.h"

#define NAME_BYTES 96
#define STAGES 3
#define TG_SHORTCUTS "projection|zeros"

static const tg_option options[] = {
    TG_MODEL_SIZE("depth", 20, 8, 12002, "layers in a row, 6 n + 2: three stages of n blocks of two"),
    TG_MODEL_SIZE("width", 16, 1, 65536, "channels of the first stage; the next have 2 and 4 times as many"),
    TG_MODEL_CHOICE("activation", TG_RELU, TG_ACTIVATIONS, TG_ACTIVATION_COUNT - 1, "behind norms and sums"),
    TG_MODEL_CHOICE("norm", TG_NORM_BATCH, TG_NORMS, TG_NORM_COUNT - 1,
                    "behind every convolution; layer, rms: of the channels of a place"),
    TG_MODEL_SIZE("groups", 8, 1, 65536, "norm=group: of channels; 1 is layer norm over the whole image"),
    TG_MODEL_EPS(1e-5),
    TG_MODEL_CHOICE("shortcut", TG_SHORTCUT_PROJECTION, TG_SHORTCUTS, TG_SHORTCUT_COUNT - 1,
                    "where a stage begins: a 1 x 1 convolution, or x itself and zeros"),
    TG_MODEL_SIZE("channels", 0, 0, 4096, "of an image (0: as the data have them)"),
    TG_MODEL_SIZE("rows", 0, 0, 65536, "of an image (0: as the data have them)"),
    TG_MODEL_SIZE("cols", 0, 0, 65536, "of an image (0: as the data have them)"),
    TG_MODEL_OUTPUTS("classes (0: as the data have them)"),
};

#define FIELD(name) offsetof(tg_model_config, name)
static const tg_config_key keys[] = {
    {.key = "channels", .offset = FIELD(channels), .kind = TG_KEY_SIZE, .required = true},
    {.key = "rows", .offset = FIELD(rows), .kind = TG_KEY_SIZE, .required = true},
    {.key = "cols", .offset = FIELD(cols), .kind = TG_KEY_SIZE, .required = true},
    {.key = "outputs", .offset = FIELD(outputs), .kind = TG_KEY_SIZE, .required = true},
    {.key = "depth", .offset = FIELD(depth), .kind = TG_KEY_SIZE, .required = true},
    {.key = "width", .offset = FIELD(width), .kind = TG_KEY_SIZE, .required = true},
    TG_KEYS_OF_HIDDEN(TG_NORMS),
    {.key = "shortcut", .offset = FIELD(shortcut), .kind = TG_KEY_CHOICE, .choices = TG_SHORTCUTS},
    {.key = "norm_eps", .offset = FIELD(eps), .kind = TG_KEY_REAL, .absent = 1e-5},
};

static tg_status complete(tg_model_config *config)
{
    if (config->depth % 6 != 2)
        return tg_fail(TG_EINVAL, "resnet: depth is 6 n + 2 (8, 14, 20, 32, 44, 56, 110), not %zu", config->depth);
    if (config->channels == 0 || config->rows == 0 || config->cols == 0)
        return tg_fail(TG_EINVAL, "resnet: the channels, rows and cols of an image, data say, or the options of that "
                                  "name");
    if (!tg_multiply(&config->features, config->rows, config->cols) ||
        !tg_multiply(&config->features, config->features, config->channels))
        return tg_fail(TG_EINVAL, "resnet: images of %zu x %zu x %zu are too large", config->channels, config->rows,
                       config->cols);
    const tg_status status = tg_part_check_groups(config);
    return status == TG_OK ? tg_part_complete(config) : status;
}

/* ---- the network: walked once to declare its weights, and once for each graph ---- */

typedef struct walk {
    tg_model *model;
    tg_graph *graph;       /* NULL: weights are declared, and tensors are TG_NONE */
    tg_status status;      /* of declaring */
    char part[NAME_BYTES]; /* of which layers are named: "layer1.0." */
} walk;

/* norm(convolution of x). Their names within the part: "conv1", "bn1". */
static int convolve(walk *w, int x, size_t in, size_t out, size_t kernel, size_t stride, const char *conv,
                    const char *norm)
{
    const tg_window window = {.kernel = {kernel, kernel},
                              .stride = {stride, stride},
                              .padding = {kernel / 2, kernel / 2},
                              .dilation = {1, 1},
                              .groups = 1};
    const tg_init init = w->model->config.activation == TG_TANH ? TG_INIT_XAVIER : TG_INIT_HE;
    const bool biased = w->model->config.norm == TG_NORM_NONE;
    char conv_name[2 * NAME_BYTES], norm_name[2 * NAME_BYTES];
    snprintf(conv_name, sizeof conv_name, "%s%s", w->part, conv);
    snprintf(norm_name, sizeof norm_name, "%s%s", w->part, norm);
    if (w->graph != NULL)
        return tg_part_norm(w->model, w->graph, norm_name, tg_part_conv(w->model, w->graph, conv_name, x, &window));
    if (w->status == TG_OK)
        w->status = tg_part_declare_conv(w->model, conv_name, out, in, &window, init, biased);
    if (w->status == TG_OK)
        w->status = tg_part_declare_norm(w->model, norm_name, out);
    return TG_NONE;
}

static int activate(walk *w, int x, const char *name)
{
    char full[2 * NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", w->part, name);
    return w->graph == NULL ? TG_NONE
                            : tg_activation(w->graph, full, x, (tg_activation_kind)w->model->config.activation);
}

/* x for a block that makes `out` channels of its `in`. */
static int shortcut(walk *w, int x, size_t in, size_t out, size_t stride)
{
    char name[2 * NAME_BYTES];
    if (in == out)
        return x;
    if (w->model->config.shortcut == TG_SHORTCUT_PROJECTION)
        return convolve(w, x, in, out, 1, stride, "downsample.0", "downsample.1");
    snprintf(name, sizeof name, "%sdownsample", w->part);
    return w->graph == NULL ? TG_NONE : tg_subsample(w->graph, name, x, stride, out);
}

static int block(walk *w, int x, size_t in, size_t out, size_t stride)
{
    char sum[2 * NAME_BYTES];
    int y = activate(w, convolve(w, x, in, out, 3, stride, "conv1", "bn1"), "act1");
    y = convolve(w, y, out, out, 3, 1, "conv2", "bn2");
    x = shortcut(w, x, in, out, stride);
    snprintf(sum, sizeof sum, "%sadd", w->part);
    return activate(w, w->graph == NULL ? TG_NONE : tg_add(w->graph, sum, x, y), "act2");
}

static int stages(walk *w, int x)
{
    const tg_model_config *c = &w->model->config;
    size_t in = c->width;
    x = activate(w, convolve(w, x, c->channels, in, 3, 1, "conv1", "bn1"), "act1");
    for (size_t stage = 0; stage < STAGES; stage++)
        for (size_t i = 0; i < (c->depth - 2) / (2 * STAGES); i++) {
            const size_t out = c->width << stage;
            if (w->graph != NULL)
                tg_graph_block_begin(w->graph);
            snprintf(w->part, sizeof w->part, "layer%zu.%zu.", stage + 1, i);
            x = block(w, x, in, out, in == out ? 1 : 2);
            if (w->graph != NULL)
                tg_graph_block_end(w->graph);
            in = out;
        }
    return x;
}

static tg_status declare(tg_model *model)
{
    const tg_model_config *c = &model->config;
    walk w = {.model = model};
    stages(&w, TG_NONE);
    return w.status == TG_OK
               ? tg_part_declare_linear(model, "fc", c->outputs, c->width << (STAGES - 1), TG_INIT_XAVIER, true)
               : w.status;
}

static tg_status build(tg_model *model, tg_graph *graph)
{
    const tg_model_config *c = &model->config;
    walk w = {.model = model, .graph = graph};
    const int x = stages(&w, tg_images(graph, "images", c->channels, c->rows, c->cols));
    tg_part_output(model, graph, "fc", tg_pool_all(graph, "avgpool", x, TG_POOL_MEAN));
    return TG_OK;
}

/* What torchvision counts beside the statistics; nothing here depends on it. */
static const char *const ignored[] = {".num_batches_tracked", NULL};

const tg_model_type tg_model_resnet = {
    .info = {.name = "resnet",
             .help = "residual network of convolutions: classes of images",
             .architecture = "",
             .tasks = TG_CAN(TG_TASK_CLASSIFICATION),
             .images = true,
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "cifar_resnet",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .ignored = ignored,
    .complete = complete,
    .declare = declare,
    .build = build,
};
