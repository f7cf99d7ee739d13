// SPDX-License-Identifier: Apache-2.0
// Layers against their formulas, their parameters, gradients and errors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/nn/batch_norm_layer.h"
#include "septet/core/nn/conv_layer.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/group_norm_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/mlp.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/conv.h"
#include "septet/core/ops/dropout.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/group_norm.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rms_norm.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LayersTest : public ::testing::Test {
 protected:
  ParameterScope Root() { return ParameterScope(&store_, {11, DType::kF64}); }

  std::vector<double> Values(const std::string& name) {
    return store_.tensor(store_.Find(name).value()).ToVector<double>();
  }

  // Gradients of fn(p, x) with respect to x and to every parameter.
  void CheckAllGradients(
      const std::function<Var(const BoundParameters&, const Var&)>& fn,
      const Tensor& x) {
    const BoundParameters p = store_.Bind();
    std::vector<Tensor> inputs = {x};
    for (const Tensor& t : store_.trained()) inputs.push_back(t);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return fn(p.With(in.subspan(1)), in[0]);
        },
        inputs, {1e-5, 1e-6}));
  }

  ParameterStore store_;
};

// y = x W + b for one row.
std::vector<double> Dense(const std::vector<double>& x,
                          const std::vector<double>& w,
                          const std::vector<double>& b) {
  const size_t out = w.size() / x.size();
  std::vector<double> y(out);
  for (size_t j = 0; j < out; ++j) {
    y[j] = b.empty() ? 0 : b[j];
    for (size_t i = 0; i < x.size(); ++i) y[j] += x[i] * w[i * out + j];
  }
  return y;
}

TEST_F(LayersTest, LinearIsXWPlusB) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const LinearLayer fc,
                              LinearLayer::Create({3, 4}, Root().Sub("fc")));
  EXPECT_THAT(store_.trained_names(), ElementsAre("fc.weight", "fc.bias"));
  EXPECT_THAT(store_.trained_decay(), ElementsAre(true, false));
  const Tensor x = RandomTensor({3}, DType::kF64, 1);
  const Var y = fc.Forward(store_.Bind(), x.Reshape({1, 3}).value());
  const auto want =
      Dense(x.ToVector<double>(), Values("fc.weight"), Values("fc.bias"));
  ExpectNear(y.tensor(), Tensor::FromValues<double>({1, 4}, want).value(),
             1e-15);
  LinearLayerOptions plain;
  plain.in = 3;
  plain.out = 2;
  plain.bias = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(const LinearLayer no_bias,
                              LinearLayer::Create(plain, Root().Sub("plain")));
  EXPECT_FALSE(no_bias.bias().defined());
  EXPECT_EQ(store_.trained().size(), 3u);
}

TEST_F(LayersTest, LinearPartsHaveTheirOwnInitialisersAndFans) {
  LinearLayerOptions options;
  options.in = 4;
  options.out = 5;
  options.weight_parts = {{2, Initializer::XavierUniform()},
                          {3, Initializer::Normal(0, 7)}};
  SEPTET_ASSERT_OK(LinearLayer::Create(options, Root().Sub("fc")));
  const RandomStream stream =
      RandomStream::Create(11, "init/fc.weight").value();
  const auto w = Values("fc.weight");
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 5; ++j) {
      const int e = 5 * i + j;
      const double want =
          j < 2 ? (2 * stream.Unit(e) - 1) * std::sqrt(6.0 / (4 + 2))
                : 7 * stream.Normal(e);
      EXPECT_NEAR(w[e], want, 1e-14);
    }
  }
  options.weight_parts.pop_back();
  EXPECT_THAT(LinearLayer::Create(options, Root().Sub("bad")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("bad: linear layer: the parts have 2 outputs, "
                                 "expected 5")));
}

TEST_F(LayersTest, NormKinds) {
  const Tensor x = RandomTensor({2, 5}, DType::kF64, 1);
  NormLayerOptions options;
  options.size = 5;
  options.weight_init = Initializer::Uniform(0.5, 2);
  options.bias_init = Initializer::Normal(0, 1);
  SEPTET_ASSERT_OK_AND_ASSIGN(const NormLayer layer,
                              NormLayer::Create(options, Root().Sub("layer")));
  options.kind = NormKind::kRms;
  options.eps = 1e-6;
  SEPTET_ASSERT_OK_AND_ASSIGN(const NormLayer rms,
                              NormLayer::Create(options, Root().Sub("rms")));
  options.kind = NormKind::kNone;
  SEPTET_ASSERT_OK_AND_ASSIGN(const NormLayer none,
                              NormLayer::Create(options, Root().Sub("none")));
  EXPECT_THAT(store_.trained_names(),
              ElementsAre("layer.weight", "layer.bias", "rms.weight"));
  EXPECT_THAT(store_.trained_decay(), ElementsAre(false, false, false));
  const BoundParameters p = store_.Bind();
  ExpectNear(
      layer.Forward(p, x).tensor(),
      LayerNorm(x, store_.trained()[0], store_.trained()[1], 1e-5).tensor(), 0);
  ExpectNear(rms.Forward(p, x).tensor(),
             RmsNorm(x, store_.trained()[2], 1e-6).tensor(), 0);
  ExpectNear(none.Forward(p, x).tensor(), x, 0);
}

TEST_F(LayersTest, EmbeddingLooksUpAndAttends) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const EmbeddingLayer table,
      EmbeddingLayer::Create({4, 3}, Root().Sub("tokens")));
  const BoundParameters p = store_.Bind();
  const Tensor ids = Tensor::FromValues<int64_t>({2}, {3, 1}).value();
  const auto w = Values("tokens.weight");
  const auto x = table.Forward(p, ids).tensor();
  EXPECT_EQ(x.ToVector<double>(),
            (std::vector<double>{w[9], w[10], w[11], w[3], w[4], w[5]}));
  const auto logits = table.Attend(p, x).tensor();
  EXPECT_EQ(logits.shape(), Shape({2, 4}));
  EXPECT_NEAR(logits.ToVector<double>()[2],
              w[9] * w[6] + w[10] * w[7] + w[11] * w[8], 1e-14);
  EXPECT_THAT(table.Forward(p, Tensor::FromValues<int64_t>({1}, {4}).value()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4")));
}

TEST_F(LayersTest, GroupNormHasGainAndBias) {
  GroupNormLayerOptions options;
  options.channels = 6;
  options.groups = 3;
  options.weight_init = Initializer::Uniform(0.5, 2);
  options.bias_init = Initializer::Normal(0, 1);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const GroupNormLayer norm,
      GroupNormLayer::Create(options, Root().Sub("gn")));
  const Tensor x = RandomTensor({2, 3, 6}, DType::kF64, 1);
  ExpectNear(
      norm.Forward(store_.Bind(), x).tensor(),
      GroupNorm(x, 3, store_.trained()[0], store_.trained()[1], 1e-5).tensor(),
      0);
  options.affine = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const GroupNormLayer plain,
      GroupNormLayer::Create(options, Root().Sub("plain")));
  EXPECT_EQ(store_.trained().size(), 2u);
  ExpectNear(plain.Forward(store_.Bind(), x).tensor(),
             GroupNorm(x, 3, Var(), Var(), 1e-5).tensor(), 0);
}

TEST_F(LayersTest, BatchNormMovesItsRunningStatistics) {
  BatchNormLayerOptions options;
  options.channels = 2;
  options.momentum = 0.25;
  options.weight_init = Initializer::Constant(2);
  options.bias_init = Initializer::Constant(1);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const BatchNormLayer norm,
      BatchNormLayer::Create(options, Root().Sub("bn")));
  EXPECT_THAT(store_.trained_names(), ElementsAre("bn.weight", "bn.bias"));
  // Channel 0: 0, 2, 4: mean 2, biased variance 8/3, unbiased 4.
  const Tensor x =
      Tensor::FromValues<double>({3, 2}, {0, 1, 2, 1, 4, 1}).value();
  const BoundParameters p = store_.Bind();
  Pass pass = Pass::Training(0, 0);
  pass.update_statistics = false;
  const auto quiet = norm.Forward(p, pass, x).tensor().ToVector<double>();
  EXPECT_EQ(Values("bn.running_mean"), (std::vector<double>{0, 0}));
  EXPECT_NEAR(quiet[0], 1 - 2 * 2 / std::sqrt(8.0 / 3 + 1e-5), 1e-13);
  pass.update_statistics = true;
  EXPECT_EQ(norm.Forward(p, pass, x).tensor().ToVector<double>(), quiet);
  EXPECT_NEAR(Values("bn.running_mean")[0], 0.25 * 2, 1e-15);
  EXPECT_NEAR(Values("bn.running_mean")[1], 0.25, 1e-15);
  EXPECT_NEAR(Values("bn.running_variance")[0], 0.75 + 0.25 * 4, 1e-15);
  EXPECT_NEAR(Values("bn.running_variance")[1], 0.75, 1e-15);
  const auto evaluated = norm.Forward(p, Pass(), x).tensor().ToVector<double>();
  EXPECT_NEAR(evaluated[0], 1 - 2 * 0.5 / std::sqrt(1.75 + 1e-5), 1e-14);
  // One element a channel has no unbiased variance.
  EXPECT_THAT(norm.Forward(p, pass, Tensor::Zeros({1, 2}, DType::kF64).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("unbiased variance")));
}

TEST_F(LayersTest, BiasFreeBatchNormDividesByItsDeviation) {
  BatchNormLayerOptions options;
  options.channels = 1;
  options.kind = BatchNormKind::kBiasFree;
  options.eps = 0;
  options.weight_init = Initializer::Constant(3);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const BatchNormLayer norm,
      BatchNormLayer::Create(options, Root().Sub("bn")));
  EXPECT_THAT(store_.trained_names(), ElementsAre("bn.weight"));
  EXPECT_EQ(store_.buffers().size(), 1u);
  const Tensor x = Tensor::FromValues<double>({2, 1}, {1, 5}).value();
  const BoundParameters p = store_.Bind();
  const auto y =
      norm.Forward(p, Pass::Training(0, 0), x).tensor().ToVector<double>();
  EXPECT_NEAR(y[0], 3 * 1 / 2.0, 1e-14);
  EXPECT_NEAR(y[1], 3 * 5 / 2.0, 1e-14);
  EXPECT_NEAR(Values("bn.running_sd")[0], 0.9 + 0.1 * 2, 1e-15);
  EXPECT_NEAR(norm.Forward(p, Pass(), x).tensor().ToVector<double>()[1],
              3 * 5 / 1.1, 1e-14);
}

TEST_F(LayersTest, ConvolutionAndItsTranspose) {
  Conv2dLayerOptions options;
  options.in = 4;
  options.out = 6;
  options.kernel_h = 3;
  options.kernel_w = 2;
  options.conv = Conv2dOptions::Uniform(2, 1, /*groups=*/2);
  options.weight_init = Initializer::KaimingNormal();
  SEPTET_ASSERT_OK_AND_ASSIGN(const Conv2dLayer conv,
                              Conv2dLayer::Create(options, Root().Sub("c")));
  options.transposed = true;
  options.output_padding_w = 1;
  options.bias = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Conv2dLayer transposed,
                              Conv2dLayer::Create(options, Root().Sub("t")));
  EXPECT_THAT(store_.trained_names(),
              ElementsAre("c.weight", "c.bias", "t.weight"));
  EXPECT_EQ(store_.trained()[0].shape(), Shape({3, 2, 2, 6}));
  EXPECT_EQ(store_.trained()[2].shape(), Shape({3, 2, 3, 4}));
  // fan_in is 3 2 (4 / 2) and, transposed, 3 2 (6 / 2).
  EXPECT_NEAR(Values("c.weight")[5],
              RandomStream::Create(11, "init/c.weight").value().Normal(5) *
                  std::sqrt(2.0 / 12),
              1e-14);
  EXPECT_NEAR(Values("t.weight")[5],
              RandomStream::Create(11, "init/t.weight").value().Normal(5) *
                  std::sqrt(2.0 / 18),
              1e-14);
  const Tensor x = RandomTensor({1, 5, 4, 4}, DType::kF64, 1);
  const BoundParameters p = store_.Bind();
  ExpectNear(conv.Forward(p, x).tensor(),
             Conv2d(x, store_.trained()[0], store_.trained()[1], options.conv)
                 .tensor(),
             0);
  ExpectNear(transposed.Forward(p, x).tensor(),
             ConvTranspose2d(x, store_.trained()[2], Var(), options.conv, 0, 1)
                 .tensor(),
             0);
}

TEST_F(LayersTest, DropoutIsAFunctionOfSeedLayerAndStep) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const DropoutLayer a,
                              DropoutLayer::Create(0.5, Root(), "a"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const DropoutLayer b,
                              DropoutLayer::Create(0.5, Root(), "b"));
  const Tensor x = Tensor::Full({64}, 1, DType::kF64).value();
  const auto run = [&](const DropoutLayer& layer, const Pass& pass) {
    return layer.Forward(pass, x).tensor().ToVector<double>();
  };
  const auto first = run(a, Pass::Training(1, 5));
  EXPECT_EQ(first, run(a, Pass::Training(1, 5)));
  EXPECT_NE(first, run(a, Pass::Training(1, 6)));
  EXPECT_NE(first, run(a, Pass::Training(2, 5)));
  EXPECT_NE(first, run(b, Pass::Training(1, 5)));
  EXPECT_EQ(run(a, Pass()), x.ToVector<double>());
  EXPECT_EQ(
      Dropout(x, 0.5, a.Key(Pass::Training(1, 5))).tensor().ToVector<double>(),
      first);
  SEPTET_ASSERT_OK_AND_ASSIGN(const DropoutLayer off,
                              DropoutLayer::Create(0, Root(), "off"));
  EXPECT_EQ(run(off, Pass::Training(1, 5)), x.ToVector<double>());
  EXPECT_EQ(run(DropoutLayer(), Pass::Training(1, 5)), x.ToVector<double>());
  EXPECT_THAT(DropoutLayer::Create(1, Root().Sub("x"), "y"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x.y: p is 1, expected [0, 1)")));
}

TEST_F(LayersTest, MlpMatchesLoopsAndGradients) {
  for (const bool before : {false, true}) {
    SCOPED_TRACE(before);
    store_ = ParameterStore();
    MlpOptions options;
    options.in = 3;
    options.hidden = {4, 5};
    options.out = 2;
    options.activation = ActivationKind::kTanh;
    options.norm = NormKind::kLayer;
    options.norm_before_activation = before;
    options.out_weight_init = Initializer::XavierUniform(0.1);
    options.out_bias_init = Initializer::Zeros();
    SEPTET_ASSERT_OK_AND_ASSIGN(const Mlp mlp,
                                Mlp::Create(options, Root().Sub("net")));
    EXPECT_THAT(store_.trained_names(),
                ElementsAre("net.0.weight", "net.0.bias", "net.0.norm.weight",
                            "net.0.norm.bias", "net.1.weight", "net.1.bias",
                            "net.1.norm.weight", "net.1.norm.bias",
                            "net.2.weight", "net.2.bias"));
    EXPECT_EQ(store_.NumElements(), 3 * 4 + 3 * 4 + 4 * 5 + 3 * 5 + 5 * 2 + 2);
    const auto norm = [](std::vector<double> h) {
      double mean = 0;
      for (const double v : h) mean += v / static_cast<double>(h.size());
      double variance = 0;
      for (const double v : h) {
        variance += (v - mean) * (v - mean) / static_cast<double>(h.size());
      }
      for (double& v : h) v = (v - mean) / std::sqrt(variance + 1e-6);
      return h;
    };
    const Tensor x = RandomTensor({1, 3}, DType::kF64, 1);
    std::vector<double> h = x.ToVector<double>();
    for (const std::string layer : {"0", "1"}) {
      h = Dense(h, Values("net." + layer + ".weight"),
                Values("net." + layer + ".bias"));
      if (before) h = norm(h);
      for (double& v : h) v = std::tanh(v);
      if (!before) h = norm(h);
    }
    h = Dense(h, Values("net.2.weight"), Values("net.2.bias"));
    ExpectNear(mlp.Forward(store_.Bind(), Pass(), x).tensor(),
               Tensor::FromValues<double>({1, 2}, h).value(), 1e-13);
    CheckAllGradients([&](const BoundParameters& p,
                          const Var& in) { return mlp.Forward(p, Pass(), in); },
                      RandomTensor({2, 3}, DType::kF64, 2));
  }
}

TEST_F(LayersTest, MlpWithoutHiddenLayersIsLinear) {
  MlpOptions options;
  options.in = 3;
  options.out = 2;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Mlp mlp,
                              Mlp::Create(options, Root().Sub("net")));
  const Tensor x = RandomTensor({2, 3}, DType::kF64, 1);
  const BoundParameters p = store_.Bind();
  ExpectNear(mlp.Forward(p, Pass(), x).tensor(),
             mlp.linear(0).Forward(p, x).tensor(), 0);
  ExpectNear(mlp.Features(p, Pass(), x).tensor(), x, 0);
}

TEST_F(LayersTest, FeedForwardKinds) {
  FeedForwardOptions options;
  options.dim = 3;
  options.hidden = 4;
  options.activation = ActivationKind::kSwish;
  const Tensor x = RandomTensor({1, 3}, DType::kF64, 1);
  const auto swish = [](double v) { return v / (1 + std::exp(-v)); };
  for (const FeedForwardKind kind :
       {FeedForwardKind::kMlp, FeedForwardKind::kGlu}) {
    for (const bool bias : {false, true}) {
      SCOPED_TRACE(bias);
      store_ = ParameterStore();
      options.kind = kind;
      options.bias = bias;
      SEPTET_ASSERT_OK_AND_ASSIGN(const FeedForward ffn,
                                  FeedForward::Create(options, Root()));
      const bool glu = kind == FeedForwardKind::kGlu;
      EXPECT_EQ(store_.trained().size(), (glu ? 3u : 2u) * (bias ? 2 : 1));
      const auto dense = [&](const std::string& name,
                             const std::vector<double>& in) {
        return Dense(in, Values(name + ".weight"),
                     bias ? Values(name + ".bias") : std::vector<double>());
      };
      std::vector<double> h = dense("fc1", x.ToVector<double>());
      for (double& v : h) v = swish(v);
      if (glu) {
        const auto gate = dense("gate", x.ToVector<double>());
        for (size_t i = 0; i < h.size(); ++i) h[i] *= gate[i];
      }
      ExpectNear(ffn.Forward(store_.Bind(), Pass(), x).tensor(),
                 Tensor::FromValues<double>({1, 3}, dense("fc2", h)).value(),
                 1e-14);
      CheckAllGradients(
          [&](const BoundParameters& p, const Var& in) {
            return ffn.Forward(p, Pass(), in);
          },
          RandomTensor({2, 3}, DType::kF64, 2));
    }
  }
}

TEST_F(LayersTest, FeedForwardNormalizesTheHiddenVector) {
  FeedForwardOptions options;
  options.dim = 3;
  options.hidden = 4;
  options.activation = ActivationKind::kGelu;
  options.hidden_norm = NormKind::kLayer;
  SEPTET_ASSERT_OK_AND_ASSIGN(const FeedForward ffn,
                              FeedForward::Create(options, Root()));
  EXPECT_EQ(store_.trained().size(), 6u);
  const Tensor x = RandomTensor({2, 3}, DType::kF64, 1);
  const BoundParameters p = store_.Bind();
  const auto layer = [&](const std::string& name) {
    return [&, name](const Var& in) {
      return Linear(in, p[*store_.Find(name + ".weight")],
                    p[*store_.Find(name + ".bias")]);
    };
  };
  const Var h = Activation(ActivationKind::kGelu, layer("fc1")(x));
  const Var normed = LayerNorm(h, p[*store_.Find("hidden_norm.weight")],
                               p[*store_.Find("hidden_norm.bias")], 1e-5);
  ExpectNear(ffn.Forward(p, Pass(), x).tensor(), layer("fc2")(normed).tensor(),
             1e-14);
}

TEST_F(LayersTest, FeedForwardDropsHiddenAndResult) {
  FeedForwardOptions options;
  options.dim = 8;
  options.hidden = 16;
  options.hidden_dropout = 0.5;
  options.dropout = 0.25;
  SEPTET_ASSERT_OK_AND_ASSIGN(const FeedForward ffn,
                              FeedForward::Create(options, Root().Sub("f")));
  const Tensor x = RandomTensor({64, 8}, DType::kF64, 1);
  const BoundParameters p = store_.Bind();
  const auto y =
      ffn.Forward(p, Pass::Training(3, 1), x).tensor().ToVector<double>();
  const auto clean = ffn.Forward(p, Pass(), x).tensor().ToVector<double>();
  double zeros = 0;
  for (const double v : y) zeros += v == 0 ? 1 : 0;
  // 512 elements, dropped with 1/4: the standard deviation is 9.8.
  EXPECT_NEAR(zeros, 128, 4 * 9.8);
  EXPECT_NE(y, clean);
  EXPECT_EQ(ffn.Forward(p, Pass::Training(3, 1), x).tensor().ToVector<double>(),
            y);
}

TEST(FeedForwardWidthTest, RoundsDown) {
  EXPECT_EQ(FeedForwardWidth(64, 8, 3, 16), 160);
  EXPECT_EQ(FeedForwardWidth(64, 5, 3, 16), 96);
  EXPECT_EQ(FeedForwardWidth(512, 8, 3, 16), 1360);
  EXPECT_EQ(FeedForwardWidth(2, 8, 3, 16), 16);
  EXPECT_EQ(FeedForwardWidth(64, 4, 1, 1), 256);
}

TEST_F(LayersTest, ThreadsChangeNoBit) {
  MlpOptions options;
  options.in = 37;
  options.hidden = {53};
  options.out = 11;
  options.norm = NormKind::kRms;
  options.dropout = 0.1;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Mlp mlp,
                              Mlp::Create(options, Root().Sub("net")));
  const Tensor x = RandomTensor({300, 37}, DType::kF64, 1);
  const auto run = [&] {
    Tape tape;
    const BoundParameters p = store_.Watch(&tape);
    const Var loss = Mean(Square(mlp.Forward(p, Pass::Training(1, 1), x)));
    std::vector<std::vector<double>> result = {
        loss.tensor().ToVector<double>()};
    const std::vector<Tensor> grads = tape.Grad(loss, p.trained()).value();
    for (const Tensor& g : grads) {
      result.push_back(g.ToVector<double>());
    }
    return result;
  };
  const auto one = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), one);
  }
}

TEST_F(LayersTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(LinearLayer::Create({0, 1}, Root().Sub("a")),
              invalid("a: linear layer: in is 0, expected >= 1"));
  EXPECT_THAT(LinearLayer::Create({1, -1}, Root()),
              invalid("linear layer: out is -1, expected >= 1"));
  // More than can be counted is an error, too.
  constexpr int64_t kHuge = int64_t{1} << 40;
  EXPECT_THAT(LinearLayer::Create({kHuge, kHuge}, Root().Sub("a")),
              invalid("parameter 'a.weight': shape [1099511627776, "
                      "1099511627776] has more elements than fit"));
  EXPECT_THAT(EmbeddingLayer::Create({kHuge, kHuge}, Root()),
              invalid("parameter 'weight': shape"));
  LinearLayerOptions joint{kHuge, kHuge};
  joint.weight_parts = {{kHuge}};
  EXPECT_THAT(LinearLayer::Create(joint, Root().Sub("a")),
              invalid("parameter 'a.weight': shape"));
  joint.weight_parts = {{int64_t{1} << 62}, {int64_t{1} << 62}};
  EXPECT_THAT(LinearLayer::Create(joint, Root()),
              invalid("the parts have more outputs than fit"));
  Conv2dLayerOptions wide;
  wide.in = wide.out = kHuge;
  EXPECT_THAT(Conv2dLayer::Create(wide, Root().Sub("a")),
              invalid("parameter 'a.weight': shape"));
  EXPECT_THAT(EmbeddingLayer::Create({0, 1}, Root()),
              invalid("embedding: count is 0"));
  EXPECT_THAT(EmbeddingLayer::Create({1, 0}, Root()),
              invalid("embedding: dim is 0"));
  NormLayerOptions norm;
  EXPECT_THAT(NormLayer::Create(norm, Root()), invalid("size is 0"));
  norm.size = 1;
  norm.eps = -1;
  EXPECT_THAT(NormLayer::Create(norm, Root()),
              invalid("norm layer: eps is -1, expected finite and >= 0"));
  GroupNormLayerOptions group;
  EXPECT_THAT(group.Validate(), invalid("group norm: channels is 0"));
  group.channels = 6;
  group.groups = 4;
  EXPECT_THAT(group.Validate(),
              invalid("groups is 4, expected a divisor of channels, 6"));
  group.groups = 0;
  EXPECT_THAT(group.Validate(), invalid("groups is 0, expected >= 1"));
  BatchNormLayerOptions batch;
  EXPECT_THAT(batch.Validate(), invalid("batch norm: channels is 0"));
  batch.channels = 1;
  batch.momentum = 2;
  EXPECT_THAT(batch.Validate(), invalid("momentum is 2, expected [0, 1]"));
  Conv2dLayerOptions conv;
  EXPECT_THAT(conv.Validate(), invalid("convolution: in is 0"));
  conv.in = 4;
  EXPECT_THAT(conv.Validate(), invalid("convolution: out is 0"));
  conv.out = 6;
  conv.conv.groups = 3;
  EXPECT_THAT(conv.Validate(), invalid("groups is 3, expected a divisor of "
                                       "in, 4, and out, 6"));
  conv.conv.groups = 0;
  EXPECT_THAT(conv.Validate(), invalid("groups is 0"));
  conv.kernel_w = 0;
  EXPECT_THAT(conv.Validate(), invalid("kernel_w is 0"));
  conv.kernel_h = -3;
  EXPECT_THAT(conv.Validate(), invalid("kernel_h is -3"));
  MlpOptions mlp;
  EXPECT_THAT(mlp.Validate(), invalid("mlp: in is 0"));
  mlp.in = 1;
  EXPECT_THAT(mlp.Validate(), invalid("mlp: out is 0"));
  mlp.out = 1;
  mlp.hidden = {3, 0};
  EXPECT_THAT(mlp.Validate(), invalid("hidden[1] is 0, expected >= 1"));
  mlp.hidden.clear();
  mlp.dropout = -0.5;
  EXPECT_THAT(mlp.Validate(), invalid("dropout is -0.5, expected [0, 1)"));
  mlp.dropout = 0;
  mlp.norm_eps = -1;
  EXPECT_THAT(mlp.Validate(), invalid("norm_eps is -1"));
  FeedForwardOptions ffn;
  EXPECT_THAT(ffn.Validate(), invalid("feed forward: dim is 0"));
  ffn.dim = 1;
  EXPECT_THAT(ffn.Validate(), invalid("feed forward: hidden is 0"));
  ffn.hidden = 1;
  ffn.hidden_dropout = 1;
  EXPECT_THAT(ffn.Validate(), invalid("hidden_dropout is 1"));
}

}  // namespace
}  // namespace septet
