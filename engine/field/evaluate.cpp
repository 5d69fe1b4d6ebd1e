#include "field/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "field/hash_grid.hpp"
#include "parallel/threads.hpp"

namespace fieldpack {
namespace {

// A part of a program: the operations to run on a tile and the buffer that holds each result. A
// buffer is used again as soon as its value has been read for the last time.
struct Plan {
    std::vector<int> operations;
    std::vector<int> buffer;    // by operation; -1 where the value is not held
    int buffers = 0;
    int rows = 0;               // of the largest value

    std::size_t floats() const {
        return std::size_t(buffers) * rows * tile_points;
    }
};

// `given`: values that are there before the part runs; `kept`: values read after it.
Plan make_plan(const Program& program, const std::vector<int>& operations,
               const std::vector<int>& given, const std::vector<int>& kept) {
    const int count = static_cast<int>(program.operations().size());
    Plan plan;
    plan.operations = operations;
    plan.buffer.assign(count, -1);
    std::vector<int> last_use(count, -1);
    for (int op : operations)
        for (int input : program.operations()[op].inputs) last_use[input] = op;
    for (int value : kept) last_use[value] = count;

    std::vector<int> free_buffers;
    const auto take = [&](int value) {
        if (free_buffers.empty()) free_buffers.push_back(plan.buffers++);
        plan.buffer[value] = free_buffers.back();
        free_buffers.pop_back();
        plan.rows = std::max(plan.rows, program.channels(value));
    };
    for (int value : given) take(value);
    for (int op : operations) {
        // The result never shares a buffer with an input: a matrix product reads all of it.
        take(op);
        const auto& inputs = program.operations()[op].inputs;
        for (std::size_t i = 0; i < inputs.size(); ++i)
            if (last_use[inputs[i]] == op && (i == 0 || inputs[i] != inputs[0]))
                free_buffers.push_back(plan.buffer[inputs[i]]);
        if (last_use[op] < 0) free_buffers.push_back(plan.buffer[op]);
    }
    return plan;
}

// Scratch memory of one worker.
struct Tile {
    std::vector<float> values;
    std::vector<double> coordinates;    // axes x tile_points

    Tile(const Plan& plan, int axes)
        : values(plan.floats()), coordinates(std::size_t(axes) * tile_points) {}

    float* value(const Plan& plan, int operation) {
        return values.data() + std::size_t(plan.buffer[operation]) * plan.rows * tile_points;
    }
};

std::vector<Tile> make_tiles(const Plan& plan, int axes, int threads) {
    std::vector<Tile> tiles;
    tiles.reserve(threads);
    for (int i = 0; i < threads; ++i) tiles.emplace_back(plan, axes);
    return tiles;
}

// Position 0 .. positions - 1 of coordinates in [-1, 1].
void to_positions(double* out, const double* coordinates, std::int64_t positions) {
    const double half = static_cast<double>(positions) / 2.0;
    const double centre = (static_cast<double>(positions) - 1.0) / 2.0;
    for (int p = 0; p < tile_points; ++p) out[p] = coordinates[p] * half + centre;
}

// Index of the nearest position; coordinates outside (or NaN) count as the first or the last one.
std::int64_t nearest_position(double position, std::int64_t positions) {
    if (!(position > 0.0)) return 0;
    if (position >= static_cast<double>(positions - 1)) return positions - 1;
    return static_cast<std::int64_t>(std::floor(position + 0.5));
}

void encode_index(Opcode opcode, float* out, const double* positions, std::int64_t count,
                  int rows) {
    for (int p = 0; p < tile_points; ++p) {
        const std::int64_t index = nearest_position(positions[p], count);
        for (int row = 0; row < rows; ++row) {
            const bool one = opcode == Opcode::one_hot ? row == index
                                                       : row < 63 && ((index >> row) & 1) != 0;
            out[std::size_t(row) * tile_points + p] = one ? 1.0f : 0.0f;
        }
    }
}

void run_operation(const Program& program, const Kernels& kernels, const Plan& plan, Tile& tile,
                   int index) {
    const Operation& op = program.operations()[index];
    const int rows = program.channels(index);
    float* out = tile.value(plan, index);
    const float* a = op.inputs.empty() ? nullptr : tile.value(plan, op.inputs[0]);
    const Tensor* tensor = op.tensors.empty() ? nullptr : &program.tensors()[op.tensors[0]];
    const int stride = tensor != nullptr && tensor->values.size() == 1 ? 0 : 1;
    switch (op.opcode) {
        case Opcode::sinusoid:
        case Opcode::one_hot:
        case Opcode::binary: {
            double positions[tile_points];
            to_positions(positions, tile.coordinates.data() + op.integers[0] * tile_points,
                         op.integers[1]);
            if (op.opcode == Opcode::sinusoid)
                kernels.sinusoid(out, positions, op.floats[0], op.floats[1], rows);
            else
                encode_index(op.opcode, out, positions, op.integers[1], rows);
            break;
        }
        case Opcode::linear:
        case Opcode::complex_linear:
            kernels.linear(out, program.matrix(index), a, rows, program.channels(op.inputs[0]));
            break;
        case Opcode::add:
            kernels.add(out, a, tile.value(plan, op.inputs[1]), rows);
            break;
        case Opcode::multiply:
            kernels.multiply(out, a, tile.value(plan, op.inputs[1]), rows);
            break;
        case Opcode::shift:
            kernels.shift(out, a, tensor->values.data(), rows, stride);
            break;
        case Opcode::scale:
            kernels.scale(out, a, tensor->values.data(), rows, stride);
            break;
        case Opcode::tanh:
            kernels.tanh(out, a, rows);
            break;
        case Opcode::gelu:
            kernels.gelu(out, a, rows);
            break;
        case Opcode::sigmoid:
            kernels.sigmoid(out, a, rows);
            break;
        case Opcode::coordinate: {
            const double* from = tile.coordinates.data() + op.integers[0] * tile_points;
            for (int p = 0; p < tile_points; ++p) out[p] = static_cast<float>(from[p]);
            break;
        }
        case Opcode::sine:
            kernels.sine(out, a, op.floats[0], 0.0, rows);
            break;
        case Opcode::cosine:
            kernels.sine(out, a, op.floats[0], 0.25, rows);
            break;
        case Opcode::relu:
            kernels.relu(out, a, rows);
            break;
        case Opcode::absolute:
            kernels.absolute(out, a, rows);
            break;
        case Opcode::gaussian:
            kernels.gaussian(out, a, rows);
            break;
        case Opcode::gabor:
            kernels.gabor(out, a, static_cast<float>(op.floats[0]),
                          static_cast<float>(op.floats[1]), rows);
            break;
        case Opcode::hash_grid:
            interpolate_hash_grid(out, tile.coordinates.data(), program.axes(), op.integers[0],
                                  *tensor);
            break;
    }
}

// Rows of a tile to points x channels.
void write_points(float* out, const float* value, int channels, std::size_t points) {
    for (std::size_t p = 0; p < points; ++p)
        for (int c = 0; c < channels; ++c)
            out[p * channels + c] = value[std::size_t(c) * tile_points + p];
}

// A value that depends on one coordinate only, for each of the grid's values of that coordinate.
struct AxisValue {
    int operation = 0;
    int axis = 0;
    int channels = 0;
    std::size_t length = 0;
    std::vector<float> values;    // channels x length
};

void compute_axis(const Program& program, const Kernels& kernels, int axis,
                  const std::vector<double>& coordinates, int threads,
                  const std::vector<int>& operations, std::vector<AxisValue>& results) {
    std::vector<int> kept;
    for (const auto& result : results)
        if (result.axis == axis) kept.push_back(result.operation);
    const Plan plan = make_plan(program, operations, {}, kept);
    auto tiles = make_tiles(plan, program.axes(), threads);
    const std::size_t length = coordinates.size();
    run_parallel(threads, (length + tile_points - 1) / tile_points, [&](int worker, std::size_t t) {
        Tile& tile = tiles[worker];
        const std::size_t start = t * tile_points;
        const std::size_t points = std::min<std::size_t>(tile_points, length - start);
        double* values = tile.coordinates.data() + std::size_t(axis) * tile_points;
        std::fill(std::copy_n(coordinates.data() + start, points, values), values + tile_points,
                  0.0);
        for (int op : plan.operations) run_operation(program, kernels, plan, tile, op);
        for (auto& result : results) {
            if (result.axis != axis) continue;
            const float* from = tile.value(plan, result.operation);
            for (int c = 0; c < result.channels; ++c)
                std::copy_n(from + std::size_t(c) * tile_points, points,
                            result.values.data() + c * length + start);
        }
    });
}

// For the points first .. first + points - 1 of a grid, their index along one axis.
struct AxisIndices {
    std::size_t index[tile_points];
    bool constant = true;
    bool consecutive = true;

    AxisIndices(std::size_t first, std::size_t points, std::size_t stride, std::size_t length) {
        for (std::size_t p = 0; p < tile_points; ++p)
            index[p] = (first + std::min(p, points - 1)) / stride % length;
        for (std::size_t p = 1; p < points; ++p) {
            constant = constant && index[p] == index[0];
            consecutive = consecutive && index[p] == index[0] + p;
        }
        consecutive = consecutive && points == tile_points;
    }
};

void gather(float* out, const AxisValue& value, const AxisIndices& indices) {
    for (int c = 0; c < value.channels; ++c) {
        const float* from = value.values.data() + c * value.length;
        float* to = out + std::size_t(c) * tile_points;
        if (indices.constant)
            std::fill_n(to, tile_points, from[indices.index[0]]);
        else if (indices.consecutive)
            std::copy_n(from + indices.index[0], tile_points, to);
        else
            for (int p = 0; p < tile_points; ++p) to[p] = from[indices.index[p]];
    }
}

}  // namespace

void evaluate_points(const Program& program, const Kernels& kernels, const double* points,
                     std::size_t count, int threads, float* out) {
    const int operations = static_cast<int>(program.operations().size());
    const int channels = program.output_channels();
    std::vector<int> all(operations);
    for (int i = 0; i < operations; ++i) all[i] = i;
    const Plan plan = make_plan(program, all, {}, {operations - 1});
    auto tiles = make_tiles(plan, program.axes(), threads);
    run_parallel(threads, (count + tile_points - 1) / tile_points, [&](int worker, std::size_t t) {
        Tile& tile = tiles[worker];
        const std::size_t start = t * tile_points;
        const std::size_t size = std::min<std::size_t>(tile_points, count - start);
        for (int axis = 0; axis < program.axes(); ++axis)
            for (std::size_t p = 0; p < tile_points; ++p)
                tile.coordinates[axis * tile_points + p] =
                    points[(start + std::min(p, size - 1)) * program.axes() + axis];
        for (int op : plan.operations) run_operation(program, kernels, plan, tile, op);
        write_points(out + start * channels, tile.value(plan, operations - 1), channels, size);
    });
}

void evaluate_grid(const Program& program, const Kernels& kernels,
                   const std::vector<std::vector<double>>& coordinates, int threads, float* out) {
    const int operations = static_cast<int>(program.operations().size());
    const int axes = program.axes();
    const auto axis_of = [&](int op) {
        for (int axis = 0; axis < axes; ++axis)
            if (program.dependence(op) == 1u << axis) return axis;
        return -1;
    };
    std::vector<std::vector<int>> on_axis(axes);
    std::vector<int> on_points;
    std::vector<bool> read_by_points(operations, false);
    for (int op = 0; op < operations; ++op) {
        const int axis = axis_of(op);
        if (axis >= 0) {
            on_axis[axis].push_back(op);
        } else {
            on_points.push_back(op);
            for (int input : program.operations()[op].inputs) read_by_points[input] = true;
        }
    }
    read_by_points[operations - 1] = true;

    std::vector<AxisValue> axis_values;
    std::vector<int> given;
    for (int op = 0; op < operations; ++op) {
        const int axis = axis_of(op);
        if (axis < 0 || !read_by_points[op]) continue;
        AxisValue value{op, axis, program.channels(op), coordinates[axis].size(), {}};
        value.values.resize(value.channels * value.length);
        axis_values.push_back(std::move(value));
        given.push_back(op);
    }
    for (int axis = 0; axis < axes; ++axis)
        compute_axis(program, kernels, axis, coordinates[axis], threads, on_axis[axis],
                     axis_values);

    std::vector<std::size_t> strides(axes);
    std::size_t count = 1;
    for (int axis = 0; axis < axes; ++axis) {
        strides[axis] = count;
        count *= coordinates[axis].size();
    }
    const int channels = program.output_channels();
    const Plan plan = make_plan(program, on_points, given, {operations - 1});
    auto tiles = make_tiles(plan, axes, threads);
    run_parallel(threads, (count + tile_points - 1) / tile_points, [&](int worker, std::size_t t) {
        Tile& tile = tiles[worker];
        const std::size_t start = t * tile_points;
        const std::size_t size = std::min<std::size_t>(tile_points, count - start);
        for (int axis = 0; axis < axes; ++axis) {
            const AxisIndices indices(start, size, strides[axis], coordinates[axis].size());
            for (int p = 0; p < tile_points; ++p)
                tile.coordinates[axis * tile_points + p] = coordinates[axis][indices.index[p]];
            for (const auto& value : axis_values)
                if (value.axis == axis) gather(tile.value(plan, value.operation), value, indices);
        }
        for (int op : plan.operations) run_operation(program, kernels, plan, tile, op);
        write_points(out + start * channels, tile.value(plan, operations - 1), channels, size);
    });
}

}  // namespace fieldpack
