// SPDX-License-Identifier: Apache-2.0
// The golden cases of core's own families, variants of them that must fail, and
// cases of other shapes and options whose answers are computed here naively.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/runner.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr DType kDTypes[] = {DType::kF64, DType::kF32};

struct Parts {
  Case::Tensors tensors;
  Case::Options options;

  CaseResult Run(DType dtype = DType::kF64) const {
    Case file("variant", tensors, options);
    return RunCase(&file, {dtype});
  }
};

std::string Golden(const std::string& name) {
  return "core/conformance/testdata/" + name + ".safetensors";
}

Parts ReadParts(const std::string& name) {
  Case file = *Case::Read(Golden(name));
  Parts parts;
  parts.options = file.options();
  for (const std::string& tensor : file.TensorNames()) {
    parts.tensors[tensor] = *file.Stored(tensor)->Clone();
  }
  return parts;
}

class GoldenTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Core, GoldenTest,
                         ::testing::Values("redshift/activations",
                                           "offline_rl/adam",
                                           "offline_rl/target_ema",
                                           "offline_rl/mlp", "nat/batchnorm",
                                           "nat/conv", "nat/maxpool",
                                           "gahb/bfbn", "gahb/bfbn_const"));
INSTANTIATE_TEST_SUITE_P(Optim, GoldenTest,
                         ::testing::Values("nat/transfer_optim"));
INSTANTIATE_TEST_SUITE_P(Nn, GoldenTest, ::testing::Values("retnet/sampling"));
INSTANTIATE_TEST_SUITE_P(Rope, GoldenTest,
                         ::testing::Values("cope/rope_half",
                                           "cope/rope_interleaved",
                                           "cope/rope_linear_ntk",
                                           "cope/rope_partial_offset"));

TEST_P(GoldenTest, PassesInBothDtypes) {
  for (const DType dtype : kDTypes) {
    const CaseResult result = RunCaseFile(Golden(GetParam()), {dtype});
    EXPECT_TRUE(result.passed()) << result.ToString();
    EXPECT_THAT(GetParam(), StartsWith(result.family));
  }
}

TEST_P(GoldenTest, EveryExpectedTensorIsReallyCompared) {
  const CaseResult good = RunCaseFile(Golden(GetParam()), {});
  ASSERT_FALSE(good.tensors.empty());
  for (const TensorResult& tensor : good.tensors) {
    Parts parts = ReadParts(GetParam());
    // Ten times what is allowed at the first element.
    const Tensor& t = parts.tensors[tensor.name];
    if (t.dtype() == DType::kI64) {
      t.mutable_data<int64_t>()[0] += 1;
      EXPECT_FALSE(parts.Run().passed()) << tensor.name;
      continue;
    }
    double largest = 10;
    for (const double v : t.ToVector<double>()) {
      largest = std::max(largest, std::abs(v));
    }
    t.mutable_data<double>()[0] +=
        1e-11 + 1e-8 * std::abs(t.data<double>()[0]) +
        1e-8 * (tensor.name.find("cosine") == 0 ? 1e-3 : largest);
    const CaseResult result = parts.Run();
    EXPECT_THAT(result.failures,
                Contains(HasSubstr(absl::StrCat("1 of ", good.tensors.size(),
                                                " tensors disagree"))))
        << tensor.name;
  }
}

TEST_P(GoldenTest, EveryTensorIsNeeded) {
  for (const auto& [name, tensor] : ReadParts(GetParam()).tensors) {
    Parts parts = ReadParts(GetParam());
    parts.tensors.erase(name);
    EXPECT_FALSE(parts.Run().passed()) << name;
  }
}

TEST_P(GoldenTest, IntegersInPlaceOfNumbersFail) {
  for (const auto& [name, tensor] : ReadParts(GetParam()).tensors) {
    Parts parts = ReadParts(GetParam());
    // And numbers in place of integers.
    parts.tensors[name] =
        *tensor.To(tensor.dtype() == DType::kI64 ? DType::kF64 : DType::kI64);
    EXPECT_FALSE(parts.Run().passed()) << name;
  }
}

TEST_P(GoldenTest, OtherShapesFailWithoutAborting) {
  for (const auto& [name, tensor] : ReadParts(GetParam()).tensors) {
    for (const Shape& shape :
         {Shape({}), Shape({0}), Shape({1}), Shape({2, 2, 2}),
          Shape({tensor.num_elements(), 1})}) {
      if (shape == tensor.shape()) continue;
      // A schedule may be looked at nowhere.
      if ((name == "cosine_lr" || name == "lr_by_epoch") &&
          shape == Shape({0})) {
        continue;
      }
      Parts parts = ReadParts(GetParam());
      parts.tensors[name] = *Tensor::Full(shape, 0.5, DType::kF64);
      EXPECT_FALSE(parts.Run().passed()) << name << " " << shape;
    }
  }
}

TEST_P(GoldenTest, ExtraTensorsFail) {
  Parts parts = ReadParts(GetParam());
  parts.tensors["extra"] = *Tensor::Zeros({}, DType::kF64);
  EXPECT_THAT(parts.Run().failures, ElementsAre("unused tensors: extra"));
}

TEST(FamiliesTest, OptionsThatAreMissingOrBadAreNamed) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> needed = {
      {"cope/rope_half",
       {"layout", "base", "rotary_dim", "offset", "linear_scale",
        "ntk_factor"}},
      {"redshift/activations", {"order"}},
      {"offline_rl/adam", {"lr", "b1", "b2", "eps", "cosine"}},
      {"offline_rl/target_ema", {"tau"}},
      {"offline_rl/mlp", {"hidden", "layer_norm"}},
      {"nat/batchnorm", {"cases"}},
      {"nat/conv", {"cases"}},
      {"nat/maxpool", {"cases"}},
      {"gahb/bfbn", {"eps", "momentum"}}};
  for (const auto& [name, keys] : needed) {
    for (const std::string& key : keys) {
      Parts parts = ReadParts(name);
      parts.options[key] = "what?";
      EXPECT_THAT(parts.Run().failures,
                  Contains(HasSubstr(absl::StrCat("option \"", key, "\""))));
      parts.options.erase(key);
      EXPECT_THAT(
          parts.Run().failures,
          Contains(HasSubstr(absl::StrCat("option \"", key, "\" is missing"))));
    }
  }
}

TEST(FamiliesTest, OptionsOutOfRangeAreErrors) {
  Parts parts = ReadParts("offline_rl/target_ema");
  parts.options["tau"] = "1.5";
  EXPECT_THAT(parts.Run().failures,
              ElementsAre(HasSubstr("tau is 1.5, expected 0 <= tau <= 1")));
  parts = ReadParts("offline_rl/adam");
  parts.options["b2"] = "1";
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("beta2 is 1, expected 0 <= beta2 < 1")));
  parts = ReadParts("offline_rl/adam");
  parts.options["cosine"] = "decay_steps=0";
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("schedule: steps is 0, expected steps >= 1")));
  parts = ReadParts("nat/transfer_optim");
  parts.options["momentum"] = "1";
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("momentum is 1, expected 0 <= momentum < 1")));
  parts = ReadParts("nat/transfer_optim");
  parts.options["t0"] = "-1";
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("start is -1, expected")));
}

// ------------------------------------------- other shapes and other options

// Smooth, without structure, the same everywhere.
std::vector<double> Numbers(int64_t n, double seed) {
  std::vector<double> values(n);
  for (int64_t i = 0; i < n; ++i) {
    values[i] = 1.5 * std::sin(seed + 2.399963229728653 * (i + 1));
  }
  return values;
}
Tensor Filled(const Shape& shape, const std::vector<double>& values) {
  return *Tensor::FromValues<double>(shape, values);
}
Tensor Filled(const Shape& shape, double seed) {
  return Filled(shape, Numbers(shape.num_elements(), seed));
}

void ExpectPasses(const Parts& parts) {
  for (const DType dtype : kDTypes) {
    const CaseResult result = parts.Run(dtype);
    EXPECT_TRUE(result.passed()) << result.ToString();
  }
}

TEST(FamiliesTest, ActivationsOfAnyShapeAndInAnyOrder) {
  const Shape shape = {2, 1, 3};
  const std::vector<double> x = {-2, -0.5, 0, 0.25, 1, 3};
  std::vector<double> relu, d_relu, gaussian, d_gaussian;
  for (const double v : x) {
    relu.push_back(v > 0 ? v : 0);
    d_relu.push_back(v > 0);
    gaussian.push_back(std::exp(-v * v / 2));
    d_gaussian.push_back(-v * std::exp(-v * v / 2));
  }
  Parts parts = {{{"x", Filled(shape, x)},
                  {"relu", Filled(shape, relu)},
                  {"d_relu", Filled(shape, d_relu)},
                  {"gaussian", Filled(shape, gaussian)},
                  {"d_gaussian", Filled(shape, d_gaussian)}},
                 {{"method", "redshift"},
                  {"case", "activations"},
                  {"order", "gaussian, relu"}}};
  ExpectPasses(parts);
  parts.options["order"] = "gaussian";
  EXPECT_THAT(parts.Run().failures,
              ElementsAre("unused tensors: d_relu, relu"));
  parts.options["order"] = "gaussian,relu,gelo";
  EXPECT_THAT(parts.Run().failures, Contains(HasSubstr("gelu")));
}

Parts RopeParts(bool half, int64_t width, int64_t rotary_dim, double base,
                double offset, double linear, double ntk) {
  const int64_t n = 3, times = 4;
  const int64_t pairs = rotary_dim / 2;
  const Shape shape = {n, times, width};
  Parts parts;
  parts.options = {{"method", "cope"},
                   {"case", "rope"},
                   {"layout", half ? "half" : "interleaved"},
                   {"base", absl::StrCat(base)},
                   {"rotary_dim", absl::StrCat(rotary_dim)},
                   {"offset", absl::StrCat(offset)},
                   {"linear_scale", absl::StrCat(linear)},
                   {"ntk_factor", absl::StrCat(ntk)}};
  // Turns every row by its angles, or back.
  const auto rotate = [&](std::vector<double> x, int direction) {
    for (int64_t row = 0; row < n * times; ++row) {
      for (int64_t i = 0; i < pairs; ++i) {
        const double r = static_cast<double>(rotary_dim);
        const double b = base * std::pow(ntk, r / (r - 2));
        const double angle =
            direction * (static_cast<double>(row % times) + offset) / linear *
            std::pow(b, -2 * static_cast<double>(i) / r);
        double& p = x[row * width + (half ? i : 2 * i)];
        double& q = x[row * width + (half ? i + pairs : 2 * i + 1)];
        const double before = p;
        p = p * std::cos(angle) - q * std::sin(angle);
        q = before * std::sin(angle) + q * std::cos(angle);
      }
    }
    return x;
  };
  const std::vector<double> q = rotate(Numbers(n * times * width, 1), 1);
  const std::vector<double> k = rotate(Numbers(n * times * width, 2), 1);
  const std::vector<double> weight = Numbers(n * times * times, 3);
  std::vector<double> scores(weight.size()), dq(q.size()), dk(q.size());
  for (int64_t e = 0; e < n * times * times; ++e) {
    const int64_t i = e / times * width;
    const int64_t j = (e / (times * times) * times + e % times) * width;
    for (int64_t c = 0; c < width; ++c) {
      scores[e] += q[i + c] * k[j + c];
      dq[i + c] += weight[e] * k[j + c];
      dk[j + c] += weight[e] * q[i + c];
    }
  }
  parts.tensors = {{"q", Filled(shape, 1)},
                   {"k", Filled(shape, 2)},
                   {"q_rot", Filled(shape, q)},
                   {"k_rot", Filled(shape, k)},
                   {"scores", Filled({n, times, times}, scores)},
                   {"loss_weight", Filled({n, times, times}, weight)},
                   {"grad_q", Filled(shape, rotate(dq, -1))},
                   {"grad_k", Filled(shape, rotate(dk, -1))}};
  return parts;
}

TEST(FamiliesTest, RopeOfOtherSizesAndOptions) {
  for (const bool half : {false, true}) {
    ExpectPasses(RopeParts(half, 16, 16, 10000, 0, 1, 1));
    ExpectPasses(RopeParts(half, 13, 6, 500, 1234, 8, 4));
    ExpectPasses(RopeParts(half, 34, 34, 1e6, 3, 0.5, 1));
    Parts parts = RopeParts(half, 8, 4, 10000, 5, 2, 1);
    parts.options["offset"] = "4";
    EXPECT_FALSE(parts.Run().passed());
    parts.options["offset"] = "5";
    EXPECT_TRUE(parts.Run().passed());
    parts.options["layout"] = half ? "interleaved" : "half";
    EXPECT_FALSE(parts.Run().passed());
    parts.options["rotary_dim"] = "10";
    EXPECT_FALSE(parts.Run().passed());
  }
}

TEST(FamiliesTest, RopeGradientsHaveTheFloorOfTheirReadme) {
  // A gradient that is rounding noise beside another: 1e-12 against 0.01 G.
  Parts parts = RopeParts(true, 8, 8, 10000, 0, 1, 1);
  for (const char* name : {"k", "k_rot", "scores", "grad_q"}) {
    const Shape shape = parts.tensors[name].shape();
    parts.tensors[name] =
        Filled(shape, std::vector<double>(shape.num_elements()));
  }
  EXPECT_TRUE(parts.Run().passed());
  parts.tensors["grad_q"].mutable_data<double>()[0] = 1e-14;
  EXPECT_TRUE(parts.Run().passed());
  parts.tensors["grad_q"].mutable_data<double>()[0] = 1e-9;
  EXPECT_FALSE(parts.Run().passed());
}

TEST(FamiliesTest, AdamWithOtherNumbers) {
  const double lr = 0.02, b1 = 0.5, b2 = 0.9, eps = 1e-3;
  const int64_t steps = 9;
  const Shape shape = {2, 3};
  std::vector<double> p = Numbers(6, 1);
  const std::vector<double> g = Numbers(steps * 6, 2);
  std::vector<double> params, lrs, m(6), v(6);
  for (int64_t t = 1; t <= steps; ++t) {
    for (size_t i = 0; i < 6; ++i) {
      const double gi = g[(t - 1) * 6 + i];
      m[i] = b1 * m[i] + (1 - b1) * gi;
      v[i] = b2 * v[i] + (1 - b2) * gi * gi;
      p[i] -= lr * (m[i] / (1 - std::pow(b1, t))) /
              (std::sqrt(v[i] / (1 - std::pow(b2, t))) + eps);
    }
    params.insert(params.end(), p.begin(), p.end());
  }
  for (int k = 0; k < 5; ++k) {
    lrs.push_back(lr * 0.5 * (1 + std::cos(M_PI * std::min(k, 3) / 3)));
  }
  ExpectPasses(
      {{{"param0", Filled(shape, Numbers(6, 1))},
        {"grads", Filled({steps, 2, 3}, g)},
        {"params", Filled({steps, 2, 3}, params)},
        {"cosine_lr", Filled({5}, lrs)}},
       {{"method", "offline_rl"},
        {"case", "adam"},
        {"lr", "0.02"},
        {"b1", "0.5"},
        {"b2", "0.9"},
        {"eps", "0.001"},
        {"cosine",
         "lr*0.5*(1+cos(pi*min(k,3)/3)), k=0..4, decay_steps=3, no more"}}});
}

TEST(FamiliesTest, SamplingWithOtherNumbers) {
  // Weights 1, 2, 4, 2 at temperature 1; squares at 0.5.
  const double l = std::log(2);
  Parts parts = {{{"logits", Filled({3, 4}, {0, l, 2 * l, l, 0, l, 2 * l, l,  //
                                             0, l, 2 * l, l})},
                  {"options", Filled({3, 3}, {0.5, 0, 1, 1, 2, 1, 1, 3, 0.6})},
                  {"probs", Filled({3, 4}, {1 / 25., 4 / 25., 16 / 25., 4 / 25.,
                                            0, 1 / 3., 2 / 3., 0,  //
                                            0, 1 / 3., 2 / 3., 0})}},
                 {{"method", "retnet"}, {"case", "sampling"}}};
  ExpectPasses(parts);
  parts.tensors["options"] = Filled({3, 3}, {1, 0.5, 1, 1, 0, 1, 1, 0, 1});
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("options[0, 1] is 0.5, expected a whole "
                                 "number of tokens")));
  parts.tensors["options"] = Filled({3, 3}, {1, 0, 1, 1, 0, 1, -1, 0, 1});
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("row 2: sampling: temperature is -1")));
  parts.tensors["options"] = Filled({1, 3}, {1, 0, 1});
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("expected [B, V] and [B, 3]")));
}

TEST(FamiliesTest, TargetEmaWithOtherNumbers) {
  for (const double tau : {0.0, 0.25, 1.0}) {
    const Shape shape = {7};
    const std::vector<double> online = Numbers(7, 1);
    std::vector<double> target = Numbers(7, 2);
    std::vector<double> targets;
    for (int t = 0; t < 3; ++t) {
      for (size_t i = 0; i < 7; ++i) {
        target[i] = tau * online[i] + (1 - tau) * target[i];
      }
      targets.insert(targets.end(), target.begin(), target.end());
    }
    ExpectPasses({{{"online", Filled(shape, online)},
                   {"target0", Filled(shape, Numbers(7, 2))},
                   {"targets", Filled({3, 7}, targets)}},
                  {{"method", "offline_rl"},
                   {"case", "target_ema"},
                   {"tau", absl::StrCat(tau)}}});
  }
}

// Channels of [N, C, P] elements x, and of the gradient g of sum(y g).
struct Channel {
  std::vector<double> x, g;
  double mean = 0, variance = 0;
};
std::vector<Channel> SplitChannels(const std::vector<double>& x,
                                   const std::vector<double>& g, int64_t n,
                                   int64_t c, int64_t p) {
  std::vector<Channel> channels(c);
  for (int64_t j = 0; j < c; ++j) {
    Channel& channel = channels[j];
    for (int64_t i = 0; i < n * p; ++i) {
      const int64_t at = (i / p * c + j) * p + i % p;
      channel.x.push_back(x[at]);
      channel.g.push_back(g[at]);
      channel.mean += x[at] / (n * p);
    }
    for (const double v : channel.x) {
      channel.variance += (v - channel.mean) * (v - channel.mean) / (n * p);
    }
  }
  return channels;
}
// Back to [N, C, P], from a function of channel and element.
template <typename Fn>
std::vector<double> JoinChannels(int64_t n, int64_t c, int64_t p,
                                 const Fn& fn) {
  std::vector<double> values(n * c * p);
  for (int64_t j = 0; j < c; ++j) {
    for (int64_t i = 0; i < n * p; ++i) {
      values[(i / p * c + j) * p + i % p] = fn(j, i);
    }
  }
  return values;
}
template <typename Fn>
Tensor OfChannels(const Shape& shape, int64_t c, const Fn& fn) {
  std::vector<double> values(c);
  for (int64_t j = 0; j < c; ++j) values[j] = fn(j);
  return Filled(shape, values);
}

TEST(FamiliesTest, BatchNormOfOtherShapes) {
  const double eps = 0.02, momentum = 0.4;
  const std::vector<Shape> shapes = {{7, 1}, {3, 2, 4}, {2, 5, 1, 3}};
  Parts parts = {{}, {{"method", "nat"}, {"case", "batchnorm"}}};
  std::vector<std::string> entries;
  for (size_t k = 0; k < shapes.size(); ++k) {
    const Shape& shape = shapes[k];
    const int64_t n = shape[0], c = shape[1];
    const int64_t p = shape.num_elements() / (n * c), m = n * p;
    entries.push_back(absl::StrCat("{\"k\": ", k, ", \"eps\": ", eps,
                                   ", \"momentum\": ", momentum, "}"));
    const auto x = Numbers(n * c * p, 1), g = Numbers(n * c * p, 2);
    const auto gamma = Numbers(c, 3), beta = Numbers(c, 4),
               rmean = Numbers(c, 5);
    const std::vector<double> rvar(c, 0.75);
    const std::vector<Channel> channels = SplitChannels(x, g, n, c, p);
    const auto rstd = [&](int64_t j) {
      return 1 / std::sqrt(channels[j].variance + eps);
    };
    const auto u = [&](int64_t j, int64_t i) {
      return (channels[j].x[i] - channels[j].mean) * rstd(j);
    };
    const auto sum = [&](int64_t j, bool times_u) {
      double total = 0;
      for (int64_t i = 0; i < m; ++i) {
        total += channels[j].g[i] * (times_u ? u(j, i) : 1);
      }
      return total;
    };
    const auto set = [&](const std::string& name, Tensor value) {
      parts.tensors[absl::StrCat(name, "_", k)] = std::move(value);
    };
    set("x", Filled(shape, x));
    set("gout", Filled(shape, g));
    set("gamma", Filled({c}, gamma));
    set("beta", Filled({c}, beta));
    set("rmean", Filled({c}, rmean));
    set("rvar", Filled({c}, rvar));
    set("y", Filled(shape, JoinChannels(n, c, p, [&](int64_t j, int64_t i) {
                      return gamma[j] * u(j, i) + beta[j];
                    })));
    set("y_eval",
        Filled(shape, JoinChannels(n, c, p, [&](int64_t j, int64_t i) {
                 return gamma[j] * (channels[j].x[i] - rmean[j]) /
                            std::sqrt(rvar[j] + eps) +
                        beta[j];
               })));
    set("gx", Filled(shape, JoinChannels(n, c, p, [&](int64_t j, int64_t i) {
                       return gamma[j] * rstd(j) *
                              (channels[j].g[i] - sum(j, false) / m -
                               u(j, i) * sum(j, true) / m);
                     })));
    set("ggamma", OfChannels({c}, c, [&](int64_t j) { return sum(j, true); }));
    set("gbeta", OfChannels({c}, c, [&](int64_t j) { return sum(j, false); }));
    set("rmean_after", OfChannels({c}, c, [&](int64_t j) {
          return (1 - momentum) * rmean[j] + momentum * channels[j].mean;
        }));
    set("rvar_after", OfChannels({c}, c, [&](int64_t j) {
          return (1 - momentum) * rvar[j] +
                 momentum * channels[j].variance * m / (m - 1);
        }));
  }
  parts.options["cases"] = absl::StrCat("[", absl::StrJoin(entries, ", "), "]");
  ExpectPasses(parts);
}

TEST(FamiliesTest, BiasFreeBatchNormWithOtherNumbers) {
  const double eps = 0.5, momentum = 0.25;
  const int64_t n = 2, c = 3, h = 5, w = 2, m = n * h * w;
  const Shape shape = {n, c, h, w}, parameter = {1, c, 1, 1};
  const auto x = Numbers(n * c * h * w, 1), g = Numbers(n * c * h * w, 2);
  const auto gamma = Numbers(c, 3);
  const std::vector<double> running = {0.5, 1, 2};
  const std::vector<Channel> channels = SplitChannels(x, g, n, c, h * w);
  const auto sd = [&](int64_t j) {
    return std::sqrt(channels[j].variance + eps);
  };
  const auto sum = [&](int64_t j) {
    double total = 0;
    for (int64_t i = 0; i < m; ++i)
      total += channels[j].g[i] * channels[j].x[i];
    return total;
  };
  const auto of_elements =
      [&](const std::function<double(int64_t, int64_t)>& f) {
        return Filled(shape, JoinChannels(n, c, h * w, f));
      };
  for (const std::string text : {"0.5", "0.5 inside the square root"}) {
    ExpectPasses(
        {{{"in.x", Filled(shape, x)},
          {"in.w", Filled(shape, g)},
          {"param.gammas", Filled(parameter, gamma)},
          {"param.running_sd", Filled(parameter, running)},
          {"eval.y", of_elements([&](int64_t j, int64_t i) {
             return gamma[j] * channels[j].x[i] / running[j];
           })},
          {"eval.grad.x", of_elements([&](int64_t j, int64_t i) {
             return gamma[j] * channels[j].g[i] / running[j];
           })},
          {"eval.grad.gammas",
           OfChannels(parameter, c,
                      [&](int64_t j) { return sum(j) / running[j]; })},
          {"train.y", of_elements([&](int64_t j, int64_t i) {
             return gamma[j] * channels[j].x[i] / sd(j);
           })},
          {"train.grad.x", of_elements([&](int64_t j, int64_t i) {
             return gamma[j] * (channels[j].g[i] / sd(j) -
                                sum(j) / (m * std::pow(sd(j), 3)) *
                                    (channels[j].x[i] - channels[j].mean));
           })},
          {"train.grad.gammas",
           OfChannels(parameter, c, [&](int64_t j) { return sum(j) / sd(j); })},
          {"train.after.running_sd", OfChannels(parameter, c,
                                                [&](int64_t j) {
                                                  return (1 - momentum) *
                                                             running[j] +
                                                         momentum * sd(j);
                                                })}},
         {{"method", "gahb"},
          {"case", "bfbn"},
          {"eps", text},
          {"momentum", "0.25"}}});
  }
}

TEST(FamiliesTest, ConvolutionsOfOtherShapes) {
  struct Entry {
    int64_t n, c, h, w, o, kh, kw, stride, pad, groups;
  };
  const std::vector<Entry> entries = {{2, 6, 5, 4, 6, 3, 3, 1, 1, 6},
                                      {1, 4, 6, 9, 8, 2, 4, 3, 2, 4},
                                      {3, 17, 3, 3, 18, 1, 1, 2, 0, 1},
                                      {1, 3, 1, 2, 2, 5, 3, 2, 3, 1}};
  Parts parts = {{}, {{"method", "nat"}, {"case", "conv"}}};
  std::vector<std::string> texts;
  for (size_t k = 0; k < entries.size(); ++k) {
    const Entry& e = entries[k];
    texts.push_back(absl::StrCat("{\"stride\": ", e.stride, ", \"pad\": ",
                                 e.pad, ", \"groups\": ", e.groups, "}"));
    const int64_t in = e.c / e.groups, out = e.o / e.groups;
    const int64_t oh = (e.h + 2 * e.pad - e.kh) / e.stride + 1;
    const int64_t ow = (e.w + 2 * e.pad - e.kw) / e.stride + 1;
    const Shape x_shape = {e.n, e.c, e.h, e.w}, w_shape = {e.o, in, e.kh, e.kw};
    const Shape y_shape = {e.n, e.o, oh, ow};
    const auto x = Numbers(x_shape.num_elements(), 1);
    const auto w = Numbers(w_shape.num_elements(), 2);
    const auto b = Numbers(e.o, 3);
    const auto g = Numbers(y_shape.num_elements(), 4);
    std::vector<double> y(g.size()), gx(x.size()), gw(w.size()), gb(e.o);
    for (int64_t i = 0; i < y_shape.num_elements(); ++i) {
      const int64_t n = i / (e.o * oh * ow), o = i / (oh * ow) % e.o;
      y[i] = b[o];
      gb[o] += g[i];
      for (int64_t j = 0; j < in * e.kh * e.kw; ++j) {
        const int64_t row = i / ow % oh * e.stride - e.pad + j / e.kw % e.kh;
        const int64_t col = i % ow * e.stride - e.pad + j % e.kw;
        if (row < 0 || row >= e.h || col < 0 || col >= e.w) continue;
        const int64_t c = o / out * in + j / (e.kh * e.kw);
        const int64_t xi = ((n * e.c + c) * e.h + row) * e.w + col;
        const int64_t wi = o * in * e.kh * e.kw + j;
        y[i] += x[xi] * w[wi];
        gx[xi] += g[i] * w[wi];
        gw[wi] += g[i] * x[xi];
      }
    }
    const auto set = [&](const std::string& name, Tensor value) {
      parts.tensors[absl::StrCat(name, "_", k)] = std::move(value);
    };
    set("x", Filled(x_shape, x));
    set("w", Filled(w_shape, w));
    set("b", Filled({e.o}, b));
    set("y", Filled(y_shape, y));
    set("gout", Filled(y_shape, g));
    set("gx", Filled(x_shape, gx));
    set("gw", Filled(w_shape, gw));
    set("gb", Filled({e.o}, gb));
  }
  parts.options["cases"] = absl::StrCat("[", absl::StrJoin(texts, ", "), "]");
  ExpectPasses(parts);
  parts.options["cases"] = absl::StrReplaceAll(
      parts.options["cases"], {{"\"stride\": 3", "\"stride\": 0"}});
  EXPECT_THAT(parts.Run().failures,
              Contains(HasSubstr("stride_h is 0, expected at least 1")));
}

TEST(FamiliesTest, MaximumPoolingOfOtherShapes) {
  struct Entry {
    int64_t n, c, h, w, kernel, stride, pad;
    bool ceil_mode;
  };
  const std::vector<Entry> entries = {{2, 17, 5, 4, 2, 3, 1, true},
                                      {1, 1, 1, 1, 1, 1, 0, false},
                                      {2, 3, 9, 6, 4, 3, 2, true},
                                      {1, 2, 7, 7, 7, 7, 0, false}};
  Parts parts = {{}, {{"method", "nat"}, {"case", "maxpool"}}};
  std::vector<std::string> texts;
  for (size_t k = 0; k < entries.size(); ++k) {
    const Entry& e = entries[k];
    texts.push_back(absl::StrCat(
        "{\"kernel\": ", e.kernel, ", \"stride\": ", e.stride, ", \"pad\": ",
        e.pad, ", \"ceil_mode\": ", e.ceil_mode ? "true" : "false", "}"));
    // Window starts of the padded image, counted one by one.
    const auto count = [&](int64_t extent) {
      int64_t windows = 0;
      for (int64_t start = 0;; start += e.stride) {
        const bool whole = start + e.kernel <= extent + 2 * e.pad;
        const bool begins = start < extent + e.pad;
        // A window may reach over the end if the one before left a rest.
        const bool rest =
            start - e.stride + e.kernel < extent + 2 * e.pad || start == 0;
        if (!whole && !(e.ceil_mode && begins && rest)) return windows;
        ++windows;
      }
    };
    const int64_t oh = count(e.h), ow = count(e.w);
    const Shape x_shape = {e.n, e.c, e.h, e.w}, y_shape = {e.n, e.c, oh, ow};
    auto x = Numbers(x_shape.num_elements(), 1);
    // Few different values: ties.
    for (double& v : x) v = std::round(2 * v);
    const auto g = Numbers(y_shape.num_elements(), 2);
    std::vector<double> y, gx(x.size());
    Tensor argmax = *Tensor::Empty(y_shape, DType::kI64);
    for (int64_t i = 0; i < y_shape.num_elements(); ++i) {
      const int64_t image = i / (oh * ow) * e.h * e.w;
      double best = -INFINITY;
      int64_t place = -1;
      for (int64_t j = 0; j < e.kernel * e.kernel; ++j) {
        const int64_t row = i / ow % oh * e.stride - e.pad + j / e.kernel;
        const int64_t col = i % ow * e.stride - e.pad + j % e.kernel;
        if (row < 0 || row >= e.h || col < 0 || col >= e.w) continue;
        if (x[image + row * e.w + col] > best) {
          place = row * e.w + col;
          best = x[image + place];
        }
      }
      y.push_back(best);
      argmax.mutable_data<int64_t>()[i] = place;
      gx[image + place] += g[i];
    }
    const auto set = [&](const std::string& name, Tensor value) {
      parts.tensors[absl::StrCat(name, "_", k)] = std::move(value);
    };
    set("x", Filled(x_shape, x));
    set("y", Filled(y_shape, y));
    set("argmax", argmax);
    set("gout", Filled(y_shape, g));
    set("gx", Filled(x_shape, gx));
  }
  parts.options["cases"] = absl::StrCat("[", absl::StrJoin(texts, ", "), "]");
  ExpectPasses(parts);
}

// A number and its derivative with respect to one parameter.
struct Dual {
  double value = 0;
  double slope = 0;
};
Dual operator+(Dual a, Dual b) {
  return {a.value + b.value, a.slope + b.slope};
}
Dual operator-(Dual a, Dual b) {
  return {a.value - b.value, a.slope - b.slope};
}
Dual operator*(Dual a, Dual b) {
  return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
Dual operator/(Dual a, Dual b) {
  const double q = a.value / b.value;
  return {q, (a.slope - q * b.slope) / b.value};
}
Dual Constant(double x) { return {x, 0}; }
Dual Tanh(Dual x) {
  const double y = std::tanh(x.value);
  return {y, (1 - y * y) * x.slope};
}
Dual Sqrt(Dual x) {
  const double y = std::sqrt(x.value);
  return {y, x.slope / (2 * y)};
}
Dual Activate(const std::string& act, Dual x) {
  if (act == "tanh") return Tanh(x);
  const Dual cubic = Constant(0.044715) * x * x * x;
  return Constant(0.5) * x *
         (Constant(1) + Tanh(Constant(std::sqrt(2 / M_PI)) * (x + cubic)));
}

struct MlpSpec {
  std::vector<int64_t> hidden;
  bool layer_norm;
  std::string act;
  double eps;
};

using DualTensors = std::map<std::string, std::vector<Dual>>;

// One row of x through the network.
std::vector<Dual> NaiveMlp(const MlpSpec& spec, DualTensors& p,
                           std::vector<Dual> h) {
  for (size_t layer = 0; layer <= spec.hidden.size(); ++layer) {
    const std::string prefix = absl::StrCat("mlp.", layer, ".");
    std::vector<Dual> y = p[prefix + "bias"];
    for (size_t i = 0; i < h.size(); ++i) {
      for (size_t j = 0; j < y.size(); ++j) {
        y[j] = y[j] + h[i] * p[prefix + "kernel"][i * y.size() + j];
      }
    }
    h = y;
    if (layer == spec.hidden.size()) break;
    for (Dual& x : h) x = Activate(spec.act, x);
    if (!spec.layer_norm) continue;
    const Dual n = Constant(static_cast<double>(h.size()));
    Dual mean, var;
    for (const Dual x : h) mean = mean + x / n;
    for (const Dual x : h) var = var + (x - mean) * (x - mean) / n;
    const Dual root = Sqrt(var + Constant(spec.eps));
    for (size_t j = 0; j < h.size(); ++j) {
      h[j] = (h[j] - mean) / root * p[prefix + "ln_scale"][j] +
             p[prefix + "ln_bias"][j];
    }
  }
  return h;
}

Parts MlpParts(const MlpSpec& spec, int64_t batch, int64_t in, int64_t out) {
  Parts parts;
  parts.options = {
      {"method", "offline_rl"},
      {"case", "mlp"},
      {"hidden", absl::StrCat("[", absl::StrJoin(spec.hidden, ", "), "]")},
      {"layer_norm", spec.layer_norm ? "True" : "False"},
      {"act", spec.act},
      {"ln_eps", absl::StrCat(spec.eps)}};
  std::map<std::string, Shape> shapes = {{"x", {batch, in}}};
  int64_t width = in;
  for (size_t layer = 0; layer <= spec.hidden.size(); ++layer) {
    const std::string prefix = absl::StrCat("mlp.", layer, ".");
    const bool last = layer == spec.hidden.size();
    const int64_t next = last ? out : spec.hidden[layer];
    shapes[prefix + "kernel"] = {width, next};
    shapes[prefix + "bias"] = {next};
    if (spec.layer_norm && !last) {
      shapes[prefix + "ln_scale"] = {next};
      shapes[prefix + "ln_bias"] = {next};
    }
    width = next;
  }
  DualTensors duals;
  double seed = 0;
  for (const auto& [name, shape] : shapes) {
    parts.tensors[name] = Filled(shape, ++seed);
    for (const double v : parts.tensors[name].ToVector<double>()) {
      duals[name].push_back(Constant(v));
    }
  }
  const std::vector<double> cotangent = Numbers(batch * out, 77);
  parts.tensors["cotangent"] = Filled({batch, out}, cotangent);

  std::vector<double> y;
  // The slope of the scalar, with whatever element has slope 1.
  const auto run = [&] {
    Dual loss;
    y.clear();
    for (int64_t b = 0; b < batch; ++b) {
      const auto row = duals["x"].begin() + b * in;
      for (const Dual value :
           NaiveMlp(spec, duals, std::vector<Dual>(row, row + in))) {
        loss = loss + value * Constant(cotangent[y.size()]);
        y.push_back(value.value);
      }
    }
    return loss.slope;
  };
  run();
  parts.tensors["y"] = Filled({batch, out}, y);
  for (const auto& [name, shape] : shapes) {
    std::vector<double> grad;
    for (Dual& element : duals[name]) {
      element.slope = 1;
      grad.push_back(run());
      element.slope = 0;
    }
    parts.tensors[(name == "x" ? "grad_" : "grad.") + name] =
        Filled(shape, grad);
  }
  return parts;
}

TEST(FamiliesTest, MlpsOfOtherSizesAndOptions) {
  ExpectPasses(MlpParts({{4}, true, "gelu_tanh", 1e-6}, 3, 2, 1));
  ExpectPasses(MlpParts({{3, 5, 4}, true, "tanh", 1e-3}, 2, 7, 3));
  ExpectPasses(MlpParts({{9}, false, "gelu_tanh", 1e-6}, 1, 1, 2));
  ExpectPasses(MlpParts({{}, false, "gelu_tanh", 1e-6}, 4, 3, 2));
}

TEST(FamiliesTest, MlpsWithAnotherOptionThanTheyWereMadeWithFail) {
  Parts parts = MlpParts({{4}, true, "gelu_tanh", 1e-6}, 3, 2, 1);
  parts.options["act"] = "gelu";
  EXPECT_FALSE(parts.Run().passed());
  parts.options["act"] = "gelu_tanh";
  parts.options["ln_eps"] = "1e-2";
  EXPECT_FALSE(parts.Run().passed());
  parts.options["ln_eps"] = "1e-6";
  parts.options["hidden"] = "[4, 4]";
  EXPECT_THAT(parts.Run().failures, Contains(HasSubstr("mlp.1.ln_scale")));
  parts.options["hidden"] = "[4]";
  EXPECT_TRUE(parts.Run().passed());
}

}  // namespace
}  // namespace septet
