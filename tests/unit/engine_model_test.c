/* engine_model_test.c -- configurations from options and config.json; weights declared, filled, saved and loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <omp.h>

#include "base/memory.h"
#include "home_support.h"
#include "model/model.h"
#include "store/directory.h"
#include "tiger/safetensors.h"

/* ---- configurations from options ---- */

static void options_fill_fields(void **state)
{
    (void)state;
    tg_model_config c;
    ok(tg_model_config_default(&c, "llama"));
    assert_string_equal(c.info->name, "llama");
    assert_int_equal(c.vocab, 0);
    assert_int_equal(c.kv_heads, 0);
    static const char *const pairs[][2] = {{"layers", "3"}, {"heads", "6"}, {"kv-heads", "2"}, {"head_dim", "10"},
        {"width", "48"}, {"hidden", "71"}, {"context", "19"}, {"eps", "3.5e-6"}, {"rope_theta", "2385.5"},
        {"dropout", "0.125"}, {"init_std", "0.031"}, {"tied", "1"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        ok(tg_model_config_set(&c, pairs[i][0], pairs[i][1]));
    c.vocab = 131;
    ok(tg_model_config_complete(&c));
    assert_true(c.layers == 3 && c.heads == 6 && c.kv_heads == 2 && c.head_dim == 10 && c.width == 48);
    assert_true(c.hidden == 71 && c.context == 19 && c.vocab == 131 && c.tied);
    assert_true(c.eps == 3.5e-6 && c.rope_theta == 2385.5 && c.dropout == 0.125 && c.init_std == 0.031);
}

static void bad_options(void **state)
{
    (void)state;
    tg_model_config c, before;
    memset(&c, 0x5a, sizeof c);
    before = c;
    refused(tg_model_config_default(&c, "gpt3"), TG_ENOTFOUND, "'gpt3'|gpt2, llama");
    assert_memory_equal(&c, &before, sizeof c);
    ok(tg_model_config_default(&c, "gpt2"));
    c.vocab = 31;
    before = c;
    refused(tg_model_config_set(&c, "layer", "2"), TG_ENOTFOUND, "gpt2|'layer'");
    refused(tg_model_config_set(&c, "rope_theta", "2"), TG_ENOTFOUND, "rope_theta");
    refused(tg_model_config_set(&c, "layers", "0"), TG_EINVAL, "layers");
    refused(tg_model_config_set(&c, "layers", "2.5"), TG_EINVAL, "layers");
    refused(tg_model_config_set(&c, "width", "many"), TG_EINVAL, "width");
    refused(tg_model_config_set(&c, "dropout", "1"), TG_EINVAL, "dropout");
    refused(tg_model_config_set(&c, "eps", "0"), TG_EINVAL, "eps");
    assert_memory_equal(&c, &before, sizeof c);
    c.heads = 0; /* a field set past the options */
    refused(tg_model_config_complete(&c), TG_EINVAL, "heads");
    c.heads = 3;
    refused(tg_model_config_complete(&c), TG_EINVAL, "width 128|heads 3");
    c.heads = 4, c.width = SIZE_MAX;
    refused(tg_model_config_complete(&c), TG_EINVAL, "width");
    c.width = 128, c.vocab = 0;
    refused(tg_model_config_complete(&c), TG_EINVAL, "vocab");
    c.vocab = (size_t)1 << 40;
    refused(tg_model_config_complete(&c), TG_EINVAL, "vocab");
    c.vocab = 31, c.eps = NAN;
    refused(tg_model_config_complete(&c), TG_EINVAL, "eps");
    assert_int_equal(c.hidden, 0); /* no failing call has filled anything in */
}

/* ---- config.json ---- */

static tg_status parse(tg_model_config *c, const char *text)
{
    return tg_model_config_parse(c, text, strlen(text), "x.json");
}

#define GPT2 "\"model_type\":\"gpt2\",\"vocab_size\":97,\"n_layer\":3,\"n_head\":2,\"n_embd\":26"
#define LLAMA                                                                                                          \
    "\"model_type\":\"llama\",\"vocab_size\":97,\"num_hidden_layers\":3,\"num_attention_heads\":4,\"hidden_size\":24," \
    "\"intermediate_size\":37"

#define MLP                                                                                                            \
    "\"model_type\":\"mlp\",\"features\":7,\"outputs\":3,\"task\":\"classification\",\"layers\":2,\"width\":5,"           \
    "\"activation\":\"tanh\""

static void good_files(void **state)
{
    (void)state;
    tg_model_config c;
    ok(parse(&c, "{" GPT2 "}"));
    assert_true(c.vocab == 97 && c.layers == 3 && c.heads == 2 && c.width == 26 && c.context == 1024);
    assert_true(c.hidden == 104 && c.kv_heads == 2 && c.head_dim == 13 && c.tied);
    assert_true(c.eps == 1e-5 && c.dropout == 0.1 && c.init_std == 0.02);
    ok(parse(
        &c,
        "{" GPT2 ",\"n_inner\":null,\"n_positions\":31,\"n_ctx\":31,\"activation_function\":\"gelu_pytorch_tanh\","
        "\"resid_pdrop\":0.25,\"embd_pdrop\":0.25,\"attn_pdrop\":0.1,\"tie_word_embeddings\":false,"
        "\"layer_norm_epsilon\":2.5e-6,\"initializer_range\":1,\"torch_dtype\":\"float32\",\"unknown\":{\"a\":[1]}}"));
    assert_true(c.context == 31 && c.hidden == 104 && c.dropout == 0.25 && !c.tied && c.eps == 2.5e-6 &&
                c.init_std == 1);
    ok(parse(&c, "{" LLAMA "}"));
    assert_true(c.kv_heads == 4 && c.head_dim == 6 && c.hidden == 37 && c.rope_theta == 10000 && !c.tied);
    assert_true(c.eps == 1e-6 && c.dropout == 0 && c.context == 2048);
    ok(parse(&c, "{" LLAMA ",\"rope_theta\":2385.5,\"rope_scaling\":null,\"num_key_value_heads\":2,\"head_dim\":10}"));
    assert_true(c.kv_heads == 2 && c.head_dim == 10 && c.rope_theta == 2385.5);
    ok(parse(&c, "{" LLAMA ",\"rope_parameters\":{\"rope_theta\":500000.0,\"rope_type\":\"default\"}}"));
    assert_true(c.rope_theta == 500000);
    ok(parse(&c, "{" LLAMA ",\"rope_theta\":500000,\"rope_parameters\":{\"rope_theta\":500000.0}}"));
    assert_true(c.rope_theta == 500000);
}

/* What a file says of stretched positions comes back from the one that is written. */
static void rope_scaling_is_kept(void **state)
{
    (void)state;
    tg_model_config c, back;
    ok(parse(&c, "{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.5,\"low_freq_factor\":1.25,"
                 "\"high_freq_factor\":3.75,\"original_max_position_embeddings\":8192}}"));
    assert_true(c.rope.type == TG_ROPE_LLAMA3 && c.rope.factor == 8.5 && c.rope.low == 1.25 && c.rope.high == 3.75 &&
                c.rope.original == 8192 && c.rope.attention == 1);
    ok(tg_model_config_write(&c, TG_F32, "m"));
    ok(tg_model_config_read(&back, "m"));
    assert_memory_equal(&c.rope, &back.rope, sizeof c.rope);
    ok(parse(&c, "{" LLAMA ",\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":500.0,\"factor\":4}}"));
    assert_true(c.rope.type == TG_ROPE_YARN && c.rope.factor == 4 && c.rope.fast == 32 && c.rope.slow == 1 &&
                c.rope.original == (double)c.context && fabs(c.rope.attention - (0.1 * log(4) + 1)) < 1e-12);
    ok(tg_model_config_write(&c, TG_F32, "m"));
    ok(tg_model_config_read(&back, "m"));
    assert_true(back.rope.attention == c.rope.attention && back.rope.type == c.rope.type && back.rope_theta == 500);
    assert_int_equal(unlink("m/config.json"), 0);
}

static void bad_files(void **state)
{
    (void)state;
    static const struct { const char *text; tg_status status; const char *words;
    } bad[] = {
        {"", TG_EFORMAT, "x.json"},
        {"{", TG_EFORMAT, "line 1"},
        {"{\"a\":1,\"a\":1}", TG_EFORMAT, "duplicate"},
        {"[]", TG_EFORMAT, "object"},
        {"{}", TG_EFORMAT, "model_type|missing"},
        {"{\"model_type\":7}", TG_EFORMAT, "model_type"},
        {"{\"model_type\":\"bort\"}", TG_EUNSUPPORTED, "'bort'|gpt2, llama"},
        {"{\"model_type\":\"gpt2\"}", TG_EFORMAT, "vocab_size|missing"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":97,\"n_head\":2,\"n_embd\":26}", TG_EFORMAT, "n_layer|missing"},
        {"{" GPT2 ",\"n_positions\":\"64\"}", TG_EFORMAT, "n_positions|integer"},
        {"{" GPT2 ",\"n_positions\":64.0}", TG_EFORMAT, "n_positions|integer"},
        {"{" GPT2 ",\"n_positions\":-64}", TG_EFORMAT, "n_positions|integer"},
        {"{" GPT2 ",\"n_positions\":0}", TG_EFORMAT, "context"},
        {"{" GPT2 ",\"n_positions\":9007199254740993}", TG_EFORMAT, "context"},
        {"{" GPT2 ",\"n_positions\":99999999999999999999}", TG_EFORMAT, "x.json"},
        {"{" GPT2 ",\"n_inner\":9000000000000}", TG_EFORMAT, "hidden"},
        {"{" GPT2 ",\"n_ctx\":7}", TG_OK, ""}, /* an alias stands for an absent key */
        {"{" GPT2 ",\"n_positions\":8,\"n_ctx\":7}", TG_EUNSUPPORTED, "n_ctx|contradicts"},
        {"{" GPT2 ",\"embd_pdrop\":0.1,\"resid_pdrop\":0.2}", TG_EUNSUPPORTED, "resid_pdrop|contradicts"},
        {"{" GPT2 ",\"layer_norm_epsilon\":\"1e-5\"}", TG_EFORMAT, "layer_norm_epsilon|number"},
        {"{" GPT2 ",\"layer_norm_epsilon\":0}", TG_EFORMAT, "eps"},
        {"{" GPT2 ",\"tie_word_embeddings\":1}", TG_EFORMAT, "tie_word_embeddings|true or false"},
        {"{" GPT2 ",\"activation_function\":\"relu\"}", TG_EUNSUPPORTED, "activation_function|gelu_new"},
        {"{" GPT2 ",\"scale_attn_weights\":false}", TG_EUNSUPPORTED, "scale_attn_weights"},
        {"{" GPT2 ",\"scale_attn_by_inverse_layer_idx\":true}", TG_EUNSUPPORTED, "scale_attn_by_inverse_layer_idx"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":97,\"n_layer\":3,\"n_head\":0,\"n_embd\":26}", TG_EFORMAT, "heads"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":97,\"n_layer\":3,\"n_head\":5,\"n_embd\":26}", TG_EFORMAT, "heads 5"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":0,\"n_layer\":3,\"n_head\":2,\"n_embd\":26}", TG_EFORMAT, "vocab"},
        {"{" LLAMA ",\"hidden_act\":\"gelu\"}", TG_EUNSUPPORTED, "hidden_act|silu"},
        {"{" LLAMA ",\"attention_bias\":1}", TG_EFORMAT, "attention_bias"},
        {"{" LLAMA ",\"mlp_bias\":\"no\"}", TG_EFORMAT, "mlp_bias"},
        {"{" LLAMA ",\"rope_scaling\":{\"type\":\"longrope\",\"factor\":2.0}}", TG_EUNSUPPORTED, "longrope|llama3"},
        {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", TG_EFORMAT, "factor"},
        {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", TG_EFORMAT, "llama3|low_freq_factor"},
        {"{" LLAMA
         ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4}}",
         TG_EFORMAT, "high_freq_factor"},
        {"{" LLAMA ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}", TG_EUNSUPPORTED, "partial_rotary_factor"},
        {"{" LLAMA ",\"rope_parameters\":{\"rope_type\":\"yarn\"}}", TG_EFORMAT, "yarn|factor"},
        {"{" LLAMA ",\"rope_theta\":1000.0,\"rope_parameters\":{\"rope_theta\":500000.0}}", TG_EUNSUPPORTED,
         "contradicts"},
        {"{" LLAMA ",\"num_key_value_heads\":3}", TG_EFORMAT, "kv_heads"},
        {"{" MLP ",\"norm\":\"weight\"}", TG_EFORMAT, "norm|none|layer|rms|batch|group"},
        {"{" MLP ",\"norm\":1}", TG_EFORMAT, "norm|none"},
        {"{" MLP "}", TG_EFORMAT, "norm|missing"},
        {"{\"model_type\":\"linear\",\"features\":0,\"outputs\":2}", TG_EFORMAT, "linear|features"},
        {"{\"model_type\":\"logistic\",\"features\":3,\"outputs\":1}", TG_EFORMAT, "classes|2"},
        {"{\"model_type\":\"logistic\",\"features\":3,\"outputs\":99999999}", TG_EFORMAT, "outputs"},
        {"{" LLAMA ",\"head_dim\":7}", TG_EFORMAT, "head_dim"},
    };
    tg_model_config c, before;
    memset(&c, 0x5a, sizeof c);
    before = c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_model_config read = c;
        refused(parse(&read, bad[i].text), bad[i].status, bad[i].status == TG_OK ? "" : bad[i].words);
        if (bad[i].status != TG_OK)
            assert_memory_equal(&read, &before, sizeof c);
    }
    refused(tg_model_config_read(&c, "m"), TG_ENOTFOUND, "m/config.json");
}

static tg_model_config config_of(const char *model, bool tied)
{
    tg_model_config c;
    ok(tg_model_config_default(&c, model));
    c.vocab = 53, c.layers = 2, c.heads = 4, c.width = 24, c.context = 11, c.hidden = 45, c.tied = tied;
    c.eps = 3.7e-6, c.init_std = 1.0 / 30, c.dropout = 0.15;
    c.features = 13, c.outputs = 5;
    if (strcmp(model, "mlp") == 0)
        c.task = tied ? TG_TASK_REGRESSION : TG_TASK_CLASSIFICATION, c.activation = TG_SILU, c.norm = TG_NORM_RMS;
    if (strcmp(model, "resnet") == 0)
        c.channels = c.rows = 1, c.cols = 13, c.depth = 14, c.groups = 3, c.norm = tied ? TG_NORM_GROUP : TG_NORM_BATCH;
    if (strcmp(model, "llama") == 0)
        c.kv_heads = 2, c.head_dim = 10, c.rope_theta = 23850.25;
    if (strncmp(model, "gau", 3) == 0)
        c.head_dim = 10, c.rope_theta = 23850.25, c.attention = tied ? TG_GAU_SOFTMAX : TG_GAU_SQUARED_RELU;
    ok(tg_model_config_complete(&c));
    return c;
}

/* Names and shapes of torchvision; statistics in fp32, and none of the optimizer's; kernels drawn from their inputs. */
static void resnet_weights(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned rank;
        uint64_t shape[TG_WEIGHT_RANK];
        bool statistic;
    } some[] = {
        {"conv1.weight", 4, {24, 1, 3, 3}, false},
        {"bn1.bias", 1, {24}, false},
        {"bn1.running_mean", 1, {24}, true},
        {"layer1.1.conv2.weight", 4, {24, 24, 3, 3}, false},
        {"layer2.0.downsample.0.weight", 4, {48, 24, 1, 1}, false},
        {"layer2.0.downsample.1.running_var", 1, {48}, true},
        {"layer3.0.conv1.weight", 4, {96, 48, 3, 3}, false},
        {"layer3.1.bn2.weight", 1, {96}, false},
        {"fc.weight", 2, {5, 96}, false},
        {"fc.bias", 1, {5}, false},
    };
    const tg_model_config c = config_of("resnet", false);
    tg_model *m;
    ok(tg_model_create(&m, &c, TG_BF16));
    ok(tg_model_initialize(m, 5));
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        const int at = tg_model_index(m, "%s", some[i].name);
        assert_true(at >= 0);
        uint64_t shape[TG_WEIGHT_RANK];
        assert_int_equal(tg_weight_shape(shape, &m->weight[at]), some[i].rank);
        assert_memory_equal(shape, some[i].shape, some[i].rank * sizeof *shape);
        assert_true(m->weight[at].param.frozen == some[i].statistic);
        assert_true(m->weight[at].param.format == (some[i].statistic ? TG_F32 : TG_BF16));
    }
    assert_true(tg_model_index(m, "layer1.0.downsample.0.weight") < 0 && tg_model_index(m, "conv1.bias") < 0);
    const tg_param *kernel = &m->weight[tg_model_index(m, "layer3.1.conv2.weight")].param;
    const float *var = m->weight[tg_model_index(m, "layer3.1.bn1.running_var")].param.data;
    const size_t n = kernel->rows * kernel->cols;
    double squares = 0;
    for (size_t k = 0; k < n; k++) {
        const double x = (double)tg_bf16_to_f32(((const uint16_t *)kernel->data)[k]);
        squares += x * x;
    }
    assert_true(fabs(squares / (double)n * (96 * 9) / 2 - 1) < 0.02); /* He et al.: variance 2 / inputs */
    assert_true(var[0] == 1 && var[95] == 1);
    tg_model_destroy(m);
}

/* Shortcuts of zeros have no weights; those of a 1 x 1 convolution and its norm are all that there are more. */
static void shortcuts_of_resnets(void **state)
{
    (void)state;
    tg_model *m[2];
    size_t values[2] = {0, 0};
    for (int zeros = 0; zeros < 2; zeros++) {
        tg_model_config c = config_of("resnet", false), back;
        c.shortcut = zeros ? TG_SHORTCUT_ZEROS : TG_SHORTCUT_PROJECTION;
        ok(tg_model_config_write(&c, TG_F32, "m"));
        ok(tg_model_config_read(&back, "m"));
        assert_int_equal(back.shortcut, c.shortcut);
        ok(tg_model_create(&m[zeros], &back, TG_F32));
        for (size_t i = 0; i < m[zeros]->weights; i++)
            values[zeros] += m[zeros]->weight[i].param.rows * m[zeros]->weight[i].param.cols;
        assert_true((tg_model_index(m[zeros], "layer2.0.downsample.0.weight") < 0) == (zeros == 1));
        tg_model_destroy(m[zeros]);
    }
    assert_int_equal(values[0] - values[1], 24 * 48 + 4 * 48 + 48 * 96 + 4 * 96);
    tg_model_config c = config_of("resnet", false);
#define RESNET                                                                                                         \
    "\"model_type\":\"cifar_resnet\",\"channels\":3,\"rows\":8,\"cols\":7,\"outputs\":5,\"depth\":14,\"width\":12,"      \
    "\"activation\":\"relu\",\"norm\":\"none\""
    ok(parse(&c, "{" RESNET "}")); /* from before the key was there */
    assert_int_equal(c.shortcut, TG_SHORTCUT_PROJECTION);
    refused(parse(&c, "{" RESNET ",\"shortcut\":\"A\"}"), TG_EFORMAT, "\"shortcut\" must be one of projection|zeros");
    assert_int_equal(unlink("m/config.json"), 0);
}

static void sizes_of_resnets(void **state)
{
    (void)state;
    tg_model_config c = config_of("resnet", true);
    c.depth = 21;
    refused(tg_model_config_complete(&c), TG_EINVAL, "depth is 6 n + 2");
    c.depth = 20, c.groups = 7;
    refused(tg_model_config_complete(&c), TG_EINVAL, "width of 24 does not fall into 7 groups");
    c.groups = 8, c.rows = 0;
    refused(tg_model_config_complete(&c), TG_EINVAL, "rows and cols");
}

static void files_round_trip(void **state)
{
    (void)state;
    static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    static const char *const names[] = {"float32", "bfloat16", "float16"};
    for (size_t m = 0; m < tg_model_count(); m++)
        for (int f = 0; f < 3; f++) {
            const tg_model_config c = config_of(tg_model_at(m)->name, f == 1);
            tg_model_config back;
            memset(&back, 0, sizeof back);
            ok(tg_model_config_write(&c, formats[f], "m"));
            ok(tg_model_config_read(&back, "m"));
            assert_true(back.info == c.info && back.task == c.task);
            json_t *object = json_load_file("m/config.json", 0, NULL);
            assert_non_null(object);
            assert_string_equal(json_string_value(json_object_get(object, "dtype")), names[f]);
            if (c.task != TG_TASK_LANGUAGE) {
                assert_true(back.features == 13 && back.outputs == 5);
                assert_null(json_object_get(object, "architectures"));
                if (c.layers == back.layers) /* of those with hidden layers */
                    assert_true(back.width == 24 && back.activation == c.activation && back.norm == c.norm &&
                                back.dropout == c.dropout && back.eps == c.eps);
                assert_true(back.channels == c.channels && back.rows == c.rows && back.cols == c.cols);
                if (back.depth != 0)
                    assert_true(back.depth == 14 && back.groups == 3 && back.norm == c.norm && back.width == 24);
                json_decref(object);
                continue;
            }
            assert_true(back.vocab == c.vocab && back.context == c.context);
            assert_true(back.layers == c.layers && back.heads == c.heads && back.kv_heads == c.kv_heads);
            assert_true(back.head_dim == c.head_dim && back.width == c.width && back.hidden == c.hidden);
            assert_true(back.eps == c.eps && back.rope_theta == c.rope_theta && back.dropout == c.dropout);
            assert_true(back.init_std == c.init_std && back.tied == c.tied);
            assert_true(back.attention == c.attention && back.value_dim == c.value_dim);
            const json_t *classes = json_object_get(object, "architectures");
            if (*c.info->architecture == '\0') /* transformers has none */
                assert_null(classes);
            else
                assert_string_equal(json_string_value(json_array_get(classes, 0)), c.info->architecture);
            json_decref(object);
        }
    const tg_model_config c = config_of("gpt2", true);
    refused(tg_model_config_write(&c, TG_F32, "none"), TG_ENOTFOUND, "none/config.json");
}

/* ---- a family of the test's own ---- */

static size_t wanted_weights;
static const char *twice;

static tg_status test_complete(tg_model_config *c)
{
    c->hidden = c->hidden == 0 ? 3 * c->width : c->hidden;
    return TG_OK;
}

static tg_status test_declare(tg_model *m)
{
    for (size_t i = 0; i < wanted_weights; i++) {
        char name[64];
        int index = TG_NONE;
        snprintf(name, sizeof name, "part.%zu.w", i);
        assert_int_equal(tg_model_index(m, "part.%zu.w", i), TG_NONE);
        tg_status status = tg_model_declare(m, &index, name, i % 3, 1 + i % 7, TG_MATRIX, TG_INIT_NORMAL, false);
        if (status != TG_OK)
            return status;
        assert_int_equal(index, i);
    }
    int index = 77;
    tg_status status = TG_OK;
    if (twice != NULL)
        status = tg_model_declare(m, &index, twice, 1, 1, TG_MATRIX, TG_INIT_NORMAL, false);
    if (status != TG_OK)
        assert_int_equal(index, 77);
    return status;
}

static const tg_option test_options[] = {TG_MODEL_WIDTH(8), TG_MODEL_HIDDEN("")};
static const tg_model_type test_type = {
    .info = {.name = "test", .architecture = "Test", .tasks = TG_CAN(TG_TASK_LANGUAGE), .options = {test_options, 2}},
    .hf_type = "test", .complete = test_complete, .declare = test_declare,
};

static void declaring(void **state)
{
    (void)state;
    tg_model_config c = {.info = &test_type.info, .vocab = 3, .width = 8};
    tg_model *m = NULL;
    wanted_weights = 60000; /* quadratic work would take minutes */
    twice = NULL;
    ok(tg_model_create(&m, &c, TG_BF16));
    assert_int_equal(tg_model_get_config(m)->hidden, 24);
    assert_int_equal(tg_model_weight_count(m), wanted_weights);
    assert_null(tg_model_weight(m, wanted_weights));
    const char *end = (const char *)m->block;
    size_t parameters = 0;
    for (size_t i = 0; i < wanted_weights; i++) {
        const tg_param *p = tg_model_weight(m, i);
        assert_int_equal(tg_model_index(m, "%s", p->name), i);
        assert_int_equal((uintptr_t)p->data % 64, 0);
        assert_ptr_equal(p->data, end); /* no room lost, none shared */
        end += tg_round_up(p->rows * p->cols * 2, 64);
        parameters += p->rows * p->cols;
        assert_int_equal(p->format, TG_BF16);
    }
    assert_ptr_equal(end, (const char *)m->block + tg_model_bytes(m));
    assert_int_equal(tg_model_parameters(m), parameters);
    assert_int_equal(tg_model_index(m, "part.%d.w", 60000), TG_NONE);
    tg_model_destroy(m);
    m = NULL;
    twice = "part.31.w";
    refused(tg_model_create(&m, &c, TG_F32), TG_EINVAL, "'part.31.w'|twice");
    refused(tg_model_create(&m, &c, TG_I8), TG_EINVAL, "I8");
    assert_null(m);
    tg_model_destroy(NULL);
    twice = NULL;
    wanted_weights = 100;
    for (long n = 1;; n++) {
        tg_memory_fail_at(n);
        const tg_status status = tg_model_create(&m, &c, TG_F32);
        tg_memory_fail_at(0);
        if (status == TG_OK) {
            assert_true(n > 100);
            break;
        }
        assert_int_equal(status, TG_ENOMEM);
        assert_null(m);
    }
    tg_model_destroy(m);
}

/* ---- fresh weights ---- */

static void initializing(void **state)
{
    (void)state;
    tg_model_config c = config_of("gpt2", false);
    tg_model *m, *other;
    c.vocab = 1500, c.layers = 3, c.init_std = 0.0385;
    ok(tg_model_create(&m, &c, TG_F32));
    ok(tg_model_create(&other, &c, TG_F32));
    ok(tg_model_initialize(m, 2385));
    for (size_t w = 0; w < tg_model_weight_count(m); w++) {
        const float *x = tg_model_weight(m, w)->data;
        const size_t n = tg_model_weight(m, w)->rows * tg_model_weight(m, w)->cols;
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++)
            sum += x[i], squares += (double)x[i] * x[i];
        const double mean = sum / (double)n, std = sqrt(squares / (double)n);
        const tg_init init = m->weight[w].init;
        if (init == TG_INIT_ONE || init == TG_INIT_ZERO)
            assert_true(mean == (init == TG_INIT_ONE) && std == (init == TG_INIT_ONE));
        else {
            const double wanted = init == TG_INIT_RESIDUAL ? 0.0385 / sqrt(6.0) : 0.0385;
            assert_true(fabs(mean) < 5 * wanted / sqrt((double)n));
            assert_true(fabs(std - wanted) < 5 * wanted / sqrt(2.0 * (double)n));
        }
    }
    for (int threads = 1; threads <= 7; threads += 2) {
        omp_set_num_threads(threads);
        ok(tg_model_initialize(other, 2385));
        assert_memory_equal(m->block, other->block, tg_model_bytes(m));
    }
    ok(tg_model_initialize(other, 2386));
    assert_memory_not_equal(tg_model_weight(m, 0)->data, tg_model_weight(other, 0)->data, 4000);
    assert_memory_not_equal(tg_model_weight(m, 0)->data, tg_model_weight(m, 1)->data, 400);
    tg_model_destroy(other);
    ok(tg_model_create(&other, &c, TG_BF16));
    ok(tg_model_initialize(other, 2385));
    for (size_t w = 0; w < tg_model_weight_count(m); w++)
        for (size_t i = 0; i < tg_model_weight(m, w)->rows * tg_model_weight(m, w)->cols; i++)
            assert_int_equal(((uint16_t *)tg_model_weight(other, w)->data)[i],
                             tg_f32_to_bf16(((float *)tg_model_weight(m, w)->data)[i]));
    tg_model_destroy(other);
    tg_model_destroy(m);
}

/* ---- files of weights ---- */

#define SPOT 0x5a

static tg_model *fresh(const tg_model_config *c, tg_format format, uint64_t seed)
{
    tg_model *m = NULL;
    ok(tg_model_create(&m, c, format));
    if (seed != 0)
        ok(tg_model_initialize(m, seed));
    else
        memset(m->block, SPOT, tg_model_bytes(m));
    return m;
}

static void assert_same_weights(const tg_model *a, const tg_model *b)
{
    for (size_t w = 0; w < tg_model_weight_count(a); w++) {
        const tg_param *p = tg_model_weight(a, w), *q = tg_model_weight(b, w);
        assert_memory_equal(p->data, q->data, p->rows * p->cols * tg_format_bytes(p->format));
    }
}

static void assert_untouched(const tg_model *m)
{
    for (size_t i = 0; i < tg_model_bytes(m); i++)
        assert_int_equal(((const unsigned char *)m->block)[i], SPOT);
}

static void saving_and_loading(void **state)
{
    (void)state;
    static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    for (size_t t = 0; t < tg_model_count(); t++)
        for (int f = 0; f < 3; f++) {
            const tg_model_config c = config_of(tg_model_at(t)->name, f == 1);
            tg_model *m = fresh(&c, formats[f], 17), *back = fresh(&c, formats[f], 0);
            tg_safetensors *file = NULL;
            ok(tg_model_save(m, "m"));
            ok(tg_model_load(back, "m"));
            assert_same_weights(m, back);
            ok(tg_safetensors_open(&file, "m/model.safetensors", NULL));
            assert_string_equal(tg_safetensors_metadata(file, "format"), "pt");
            assert_int_equal(tg_safetensors_count(file), tg_model_weight_count(m));
            for (size_t w = 0; w < tg_model_weight_count(m); w++)
                assert_int_equal(tg_safetensors_at(file, w)->rank,
                                 m->weight[w].vector         ? 1
                                 : m->weight[w].kernel[0] > 0 ? 4
                                                              : 2);
            tg_safetensors_destroy(file);
            tg_model_config read;
            ok(tg_model_config_read(&read, "m"));
            tg_model_destroy(m);
            tg_model_destroy(back);
        }
}

/* A file of the model's weights in `format`, behind three odd bytes, so that nothing is aligned; `change` may edit the
 * list of tensors before it is written. */
typedef void edit(tg_named_tensor *tensors, size_t *count);

static void write_file(const tg_model *m, tg_format format, bool prefix, edit *change)
{
    const size_t count = tg_model_weight_count(m);
    tg_named_tensor *t = calloc(count + 8, sizeof *t);
    void **data = calloc(count, sizeof *data);
    t[0] = (tg_named_tensor){"transformer.h.0.attn.bias", TG_U8, 3, {1, 3, 1}, "abc", 3};
    for (size_t w = 0; w < count; w++) {
        const tg_param *p = tg_model_weight(m, w);
        const size_t n = p->rows * p->cols, bytes = n * tg_format_bytes(format), skip = strlen("transformer.");
        data[w] = malloc(bytes);
        for (size_t i = 0; i < n; i++) {
            const float x = ((const float *)p->data)[i];
            if (format == TG_F64)
                ((double *)data[w])[i] = (double)x * (1 + 0x1p-30); /* must be rounded */
            else if (format == TG_F32)
                ((float *)data[w])[i] = x;
            else
                ((uint16_t *)data[w])[i] = format == TG_BF16 ? tg_f32_to_bf16(x) : tg_f32_to_f16(x);
        }
        t[w + 1] =
            (tg_named_tensor){.name = p->name + (prefix ? 0 : skip), .format = format, .data = data[w], .bytes = bytes};
        t[w + 1].rank = m->weight[w].vector ? 1 : 2;
        t[w + 1].shape[0] = m->weight[w].vector ? p->cols : p->rows;
        t[w + 1].shape[1] = p->cols;
    }
    size_t all = count + 1;
    if (change != NULL)
        change(t, &all);
    ok(tg_safetensors_write("m/model.safetensors", t, all, NULL, 0));
    for (size_t w = 0; w < count; w++)
        free(data[w]);
    free(data);
    free(t);
}

static void converting(void **state)
{
    (void)state;
    static const tg_format from[] = {TG_F32, TG_BF16, TG_F16, TG_F64}, to[] = {TG_F32, TG_BF16, TG_F16};
    tg_model_config c = config_of("gpt2", true);
    c.vocab = 601; /* tensors of several chunks, the last one short */
    tg_model *source = fresh(&c, TG_F32, 5);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            tg_model *m = fresh(&c, to[k], 0);
            write_file(source, from[i], (i + k) % 2 == 0, NULL);
            ok(tg_model_load(m, "m"));
            for (size_t w = 0; w < tg_model_weight_count(m); w++) {
                const tg_param *p = tg_model_weight(m, w);
                for (size_t e = 0; e < p->rows * p->cols; e++) {
                    float x = ((const float *)tg_model_weight(source, w)->data)[e];
                    x = from[i] == TG_BF16 ? tg_bf16_to_f32(tg_f32_to_bf16(x))
                        : from[i] == TG_F16 ? tg_f16_to_f32(tg_f32_to_f16(x)) : x;
                    if (to[k] == TG_F32)
                        assert_true(((const float *)p->data)[e] == x);
                    else
                        assert_int_equal(((const uint16_t *)p->data)[e],
                                         to[k] == TG_BF16 ? tg_f32_to_bf16(x) : tg_f32_to_f16(x));
                }
            }
            tg_model_destroy(m);
        }
    tg_model_destroy(source);
}

static void add_extras(tg_named_tensor *t, size_t *count)
{
    t[(*count)++] = (tg_named_tensor){"h.1.attn.masked_bias", TG_F32, 0, {0}, "abcd", 4};
    t[(*count)++] = (tg_named_tensor){"lm_head.weight", TG_F32, 1, {1}, "abcd", 4};
}

static void drop_last(tg_named_tensor *t, size_t *count)
{
    (void)t;
    --*count;
}

static void add_stranger(tg_named_tensor *t, size_t *count)
{
    t[(*count)++] = (tg_named_tensor){"transformer.h.2.ln_1.weight", TG_F32, 1, {1}, "abcd", 4};
}

static void add_double(tg_named_tensor *t, size_t *count)
{
    t[*count] = t[*count - 1]; /* "transformer.ln_f.bias" and "ln_f.bias" */
    t[(*count)++].name += strlen("transformer.");
}

static void flatten(tg_named_tensor *t, size_t *count)
{
    (void)count;
    t[1].rank = 1, t[1].shape[0] *= t[1].shape[1];
}

static void turn(tg_named_tensor *t, size_t *count)
{
    (void)count;
    const uint64_t rows = t[1].shape[0];
    t[1].shape[0] = t[1].shape[1], t[1].shape[1] = rows;
}

static void make_integers(tg_named_tensor *t, size_t *count)
{
    (void)count;
    t[2].format = TG_I32;
}

static void files_that_do_not_fit(void **state)
{
    (void)state;
    static const struct { edit *change; const char *words;
    } bad[] = {
        {drop_last, "'transformer.ln_f.bias'|missing"},
        {add_stranger, "'transformer.h.2.ln_1.weight'|no weight of this gpt2"},
        {add_double, "'transformer.ln_f.bias' and 'ln_f.bias'"},
        {flatten, "'transformer.wte.weight'|(1272)|(53, 24)"},
        {turn, "'transformer.wte.weight'|(24, 53)|(53, 24)"},
        {make_integers, "'transformer.wpe.weight'|I32"},
    };
    const tg_model_config tied = config_of("gpt2", true), untied = config_of("gpt2", false);
    tg_model *source = fresh(&tied, TG_F32, 5), *m = fresh(&tied, TG_F32, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(source, TG_F32, true, bad[i].change);
        refused(tg_model_load(m, "m"), TG_EFORMAT, bad[i].words);
        assert_non_null(strstr(tg_message(), "m/model.safetensors"));
        assert_untouched(m);
    }
    refused(tg_model_load(m, "none"), TG_ENOTFOUND, "none/model.safetensors");
    FILE *index = fopen("m/model.safetensors.index.json", "w");
    fclose(index);
    assert_int_equal(unlink("m/model.safetensors"), 0);
    refused(tg_model_load(m, "m"), TG_EFORMAT, "'m/model.safetensors.index.json' line 1");
    assert_int_equal(unlink("m/model.safetensors.index.json"), 0);
    write_file(source, TG_F32, false, add_extras);
    for (long n = 1;; n++) {
        tg_memory_fail_at(n);
        const tg_status status = tg_model_load(m, "m");
        tg_memory_fail_at(0);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
        assert_untouched(m);
    }
    assert_same_weights(source, m);
    tg_model_destroy(m);
    m = fresh(&untied, TG_F32, 0); /* here lm_head.weight is a weight */
    refused(tg_model_load(m, "m"), TG_EFORMAT, "'lm_head.weight'|shape");
    assert_untouched(m);
    tg_model_destroy(m);
    tg_model_destroy(source);
}

static void saving_without_memory(void **state)
{
    (void)state;
    const tg_model_config c = config_of("llama", true);
    tg_model *m = fresh(&c, TG_BF16, 3), *back = fresh(&c, TG_BF16, 0);
    for (long n = 1;; n++) {
        tg_memory_fail_at(n);
        const tg_status status = tg_model_save(m, "m");
        tg_memory_fail_at(0);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
    }
    ok(tg_model_load(back, "m"));
    assert_same_weights(m, back);
    refused(tg_model_save(m, "none"), TG_ENOTFOUND, "none/");
    tg_model_destroy(back);
    tg_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_fill_fields), cmocka_unit_test(bad_options), cmocka_unit_test(good_files),
        cmocka_unit_test(rope_scaling_is_kept),
        cmocka_unit_test(bad_files), cmocka_unit_test(resnet_weights),
        cmocka_unit_test(sizes_of_resnets), cmocka_unit_test(shortcuts_of_resnets),
        cmocka_unit_test(files_round_trip), cmocka_unit_test(declaring),
        cmocka_unit_test(initializing), cmocka_unit_test(saving_and_loading), cmocka_unit_test(converting),
        cmocka_unit_test(files_that_do_not_fit), cmocka_unit_test(saving_without_memory),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
