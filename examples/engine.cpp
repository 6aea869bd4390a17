// engine.cpp -- a foreign engine, in C++, that owns its tensors and memory and lets libtiger move its weights.
//
// The engine is a chain of linear layers with tanh between them, weights in bf16. It fits y = sin(3 x1) cos(2 x2) from
// points. In backward each layer makes the gradient of its weights a few rows at a time in one small buffer and hands the
// rows over at once: with Tiger they go into the momentum, and no gradient array exists. States live in the engine's own
// arena. Half-way the run is saved, thrown away and resumed, as after a crash.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tiger/optim.h"
#include "tiger/schedule.h"

namespace {

constexpr std::size_t batch = 64, tile_rows = 8, updates = 800;

void must(tg_status status)
{
    if (status != TG_OK)
        throw std::runtime_error(tg_message());
}

// The engine's memory: a bump allocator that gives nothing back until the end.
struct Arena {
    std::vector<std::unique_ptr<char[]>> blocks;
    std::size_t bytes = 0;
    static void *alloc(void *ctx, std::size_t bytes, std::size_t align)
    {
        auto *arena = static_cast<Arena *>(ctx);
        arena->blocks.push_back(std::make_unique<char[]>(bytes + align));
        arena->bytes += bytes;
        const auto address = reinterpret_cast<std::uintptr_t>(arena->blocks.back().get());
        return reinterpret_cast<void *>((address + align - 1) / align * align);
    }
    static void free(void *, void *, std::size_t) {}
    tg_allocator allocator() { return {alloc, free, this}; }
};

struct Layer {
    std::size_t in, out, weight, bias; // weight, bias: numbers of the parameters in the optimizer
    std::vector<std::uint16_t> w, b;   // bf16: (out, in) and (out)
    std::vector<float> x, dy;          // (batch, in): what forward saw; (batch, out)
};

class Engine {
public:
    explicit Engine(const std::vector<std::size_t> &widths)
    {
        for (std::size_t l = 0; l + 1 < widths.size(); l++) {
            Layer layer{widths[l], widths[l + 1], 0, 0, {}, {}, {}, {}};
            for (std::size_t i = 0; i < layer.in * layer.out; i++) // irregular, of a fitting size
                layer.w.push_back(tg_f32_to_bf16(std::sin(1.7f * float(i * i % 977) + float(l)) / std::sqrt(float(layer.in))));
            layer.b.assign(layer.out, 0);
            layers.push_back(layer);
        }
    }

    void add_to(tg_optim *optim)
    {
        for (std::size_t l = 0; l < layers.size(); l++) {
            Layer &layer = layers[l];
            const std::string weight = "layer" + std::to_string(l) + ".weight", bias = "layer" + std::to_string(l) + ".bias";
            tg_param p{};
            p.name = weight.c_str(), p.data = layer.w.data(), p.format = TG_BF16;
            p.rows = layer.out, p.cols = layer.in, p.role = TG_MATRIX;
            must(tg_optim_add(optim, &p, &layer.weight));
            p.name = bias.c_str(), p.data = layer.b.data(), p.rows = 1, p.cols = layer.out, p.role = TG_BIAS;
            must(tg_optim_add(optim, &p, &layer.bias));
        }
    }

    // The mean squared error of a batch; gradients go to the optimizer's open window, row by row.
    double train(const std::vector<float> &points, const std::vector<float> &targets, tg_optim *optim)
    {
        std::vector<float> y = forward(points);
        double loss = 0;
        for (std::size_t i = 0; i < batch; i++) {
            const float error = y[i] - targets[i];
            loss += double(error) * error / batch;
            layers.back().dy[i] = 2 * error / batch;
        }
        for (std::size_t l = layers.size(); l-- > 0;)
            backward(l, optim);
        return loss;
    }

private:
    std::vector<Layer> layers;

    std::vector<float> forward(std::vector<float> x)
    {
        for (Layer &layer : layers) {
            std::vector<float> y(batch * layer.out);
            for (std::size_t i = 0; i < batch; i++)
                for (std::size_t o = 0; o < layer.out; o++) {
                    float sum = tg_bf16_to_f32(layer.b[o]);
                    for (std::size_t k = 0; k < layer.in; k++)
                        sum += tg_bf16_to_f32(layer.w[o * layer.in + k]) * x[i * layer.in + k];
                    y[i * layer.out + o] = &layer == &layers.back() ? sum : std::tanh(sum);
                }
            layer.x = std::move(x);
            layer.dy.assign(batch * layer.out, 0);
            x = y;
        }
        return x;
    }

    void backward(std::size_t l, tg_optim *optim)
    {
        Layer &layer = layers[l];
        if (l > 0) // before the weights may move
            for (std::size_t i = 0; i < batch; i++)
                for (std::size_t k = 0; k < layer.in; k++) {
                    float sum = 0;
                    for (std::size_t o = 0; o < layer.out; o++)
                        sum += layer.dy[i * layer.out + o] * tg_bf16_to_f32(layer.w[o * layer.in + k]);
                    const float x = layer.x[i * layer.in + k]; // tanh's slope from its value
                    layers[l - 1].dy[i * layer.in + k] = sum * (1 - x * x);
                }
        std::vector<float> tile(tile_rows * layer.in), sums(layer.out, 0);
        for (std::size_t row = 0; row < layer.out; row += tile_rows) {
            const std::size_t rows = std::min(tile_rows, layer.out - row);
            tile.assign(tile_rows * layer.in, 0);
            for (std::size_t i = 0; i < batch; i++)
                for (std::size_t r = 0; r < rows; r++)
                    for (std::size_t k = 0; k < layer.in; k++)
                        tile[r * layer.in + k] += layer.dy[i * layer.out + row + r] * layer.x[i * layer.in + k];
            must(tg_optim_accumulate(optim, layer.weight, row, rows, tile.data()));
        }
        for (std::size_t i = 0; i < batch; i++)
            for (std::size_t o = 0; o < layer.out; o++)
                sums[o] += layer.dy[i * layer.out + o];
        must(tg_optim_accumulate(optim, layer.bias, 0, 1, sums.data()));
        must(tg_optim_complete(optim, layer.weight));
        must(tg_optim_complete(optim, layer.bias));
    }
};

void draw(std::vector<float> &points, std::vector<float> &targets, std::size_t update)
{
    for (std::size_t i = 0; i < batch; i++) {
        const double a = std::fmod(0.754877666 * double(update * batch + i), 2) - 1; // a low-discrepancy sequence
        const double b = std::fmod(0.569840291 * double(update * batch + i), 2) - 1;
        points[2 * i] = float(a);
        points[2 * i + 1] = float(b);
        targets[i] = float(std::sin(3 * a) * std::cos(2 * b));
    }
}

tg_optim *make_optimizer(const char *rule, Engine &engine, const tg_allocator &allocator)
{
    tg_optim *optim = nullptr;
    must(tg_optim_create(&optim, rule, &allocator));
    must(tg_optim_set(optim, TG_ALL_GROUPS, "lr", "1e-2"));
    if (tg_optim_gradient_place(optim) == TG_ARRAYS) // the rule cannot fold: it keeps the gradients itself
        must(tg_optim_set(optim, TG_ALL_GROUPS, "gradients", "buffered"));
    engine.add_to(optim);
    must(tg_optim_start(optim));
    return optim;
}

} // namespace

int main(int argc, char **argv)
try {
    const char *rule = argc > 1 ? argv[1] : "tiger";
    const std::string states = "engine_example.safetensors";
    Arena arena;
    const tg_allocator allocator = arena.allocator();
    Engine engine({2, 24, 24, 1});
    tg_optim *optim = make_optimizer(rule, engine, allocator);
    tg_schedule *schedule = nullptr;
    must(tg_schedule_create(&schedule, "warmup:50 > cosine:min=0.01", updates, nullptr));

    std::vector<float> points(2 * batch), targets(batch);
    double first = 0, last = 0;
    for (std::size_t u = 0; u < updates; u++) {
        if (u == updates / 2) { // as after a crash: states from the file, weights as they are
            must(tg_optim_save(optim, states.c_str()));
            tg_optim_destroy(optim);
            optim = make_optimizer(rule, engine, allocator);
            must(tg_optim_load(optim, states.c_str()));
            std::remove(states.c_str());
        }
        must(tg_optim_scale(optim, "lr", tg_schedule_factor(schedule, u)));
        must(tg_optim_begin(optim, 2)); // two micro-batches make one update
        double loss = 0;
        for (std::size_t micro = 0; micro < 2; micro++) {
            draw(points, targets, 2 * u + micro);
            loss += engine.train(points, targets, optim) / 2;
            must(tg_optim_micro_end(optim));
        }
        must(tg_optim_end(optim));
        first = u == 0 ? loss : first;
        last = u < updates - 50 ? 0 : last + loss / 50;
    }
    tg_optim_bytes bytes{};
    must(tg_optim_measure(optim, &bytes));
    std::printf("%s: loss %.5f at first, %.5f at last; %zu bytes of states, %zu of gradients\n", rule, first, last, bytes.states,
                bytes.gradients);
    tg_schedule_destroy(schedule);
    tg_optim_destroy(optim);
    return last < 0.05 * first ? 0 : 1;
} catch (const std::exception &e) {
    std::fprintf(stderr, "engine: %s\n", e.what());
    return 1;
}
