// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/parameters.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/ema.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor Value(std::vector<float> values) {
  return Tensor::FromValues<float>({static_cast<int64_t>(values.size())},
                                   values)
      .value();
}

// w and b trained, mean a buffer.
ParameterStore SmallStore() {
  ParameterStore store;
  SEPTET_EXPECT_OK(store.Add("w", Value({1, 2, 3})));
  SEPTET_EXPECT_OK(store.Add("mean", Value({9}), {/*trained=*/false}));
  SEPTET_EXPECT_OK(
      store.Add("b", Value({4, 5}), {/*trained=*/true, /*decay=*/false}));
  return store;
}

TEST(ParameterStoreTest, OrderNamesAndRoles) {
  const ParameterStore store = SmallStore();
  EXPECT_THAT(store.trained_names(), ElementsAre("w", "b"));
  EXPECT_THAT(store.trained_decay(), ElementsAre(true, false));
  EXPECT_EQ(store.NumElements(), 5);
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId b, store.Find("b"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId mean, store.Find("mean"));
  EXPECT_EQ(b, store.trained_id(1));
  EXPECT_EQ(mean, store.buffer_id(0));
  EXPECT_NE(b, mean);
  EXPECT_FALSE(ParameterId().defined());
  EXPECT_EQ(store.name(mean), "mean");
  EXPECT_FALSE(store.decay(mean));
  EXPECT_EQ(store.tensor(b).ToVector<float>(), (std::vector<float>{4, 5}));
  EXPECT_EQ(store.trained().size(), 2u);
  EXPECT_EQ(store.buffers().size(), 1u);
}

TEST(ParameterStoreTest, GradientsComeInOrderAndBuffersAreConstants) {
  ParameterStore store = SmallStore();
  const ParameterId w = store.Find("w").value();
  const ParameterId b = store.Find("b").value();
  const ParameterId mean = store.Find("mean").value();
  Tape tape;
  BoundParameters p;
  for (int step = 0; step < 2; ++step) {
    tape.Reset();
    store.Watch(&tape, &p);
    EXPECT_EQ(p[mean].tape(), nullptr);
    EXPECT_EQ(p[w].tape(), &tape);
    EXPECT_FALSE(p[ParameterId()].defined());
    const Var loss = Add(Sum(Scale(p[b], 3)), Sum(Mul(Square(p[w]), p[mean])));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                                tape.Grad(loss, p.trained()));
    ASSERT_EQ(grads.size(), 2u);
    EXPECT_EQ(grads[0].ToVector<float>(), (std::vector<float>{18, 36, 54}));
    EXPECT_EQ(grads[1].ToVector<float>(), (std::vector<float>{3, 3}));
  }
  EXPECT_EQ(store.Bind()[w].tape(), nullptr);
  const BoundParameters other =
      p.With({Var(Value({7, 7, 7})), Var(Value({8, 8}))});
  EXPECT_EQ(other[w].tensor().ToVector<float>()[0], 7);
  EXPECT_EQ(other[mean].tensor().item<float>(), 9);
}

TEST(ParameterStoreTest, OptimisersTakeTheTrainedOnes) {
  ParameterStore store = SmallStore();
  SEPTET_ASSERT_OK_AND_ASSIGN(ParameterStore slow, store.Clone());
  SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam, Adam::Create({}, store.trained()));
  Tape tape;
  const BoundParameters p = store.Watch(&tape);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<Tensor> grads,
      tape.Grad(Add(Sum(p.trained()[0]), Sum(p.trained()[1])), p.trained()));
  SEPTET_ASSERT_OK(adam.Step(store.trained(), grads, 0.5));
  EXPECT_NEAR(store.trained()[0].ToVector<float>()[0], 0.5, 1e-6);
  EXPECT_EQ(slow.trained()[0].ToVector<float>()[0], 1);
  SEPTET_ASSERT_OK(UpdateEma(store.trained(), EmaOptions{0.5}, slow.trained()));
  EXPECT_NEAR(slow.trained()[0].ToVector<float>()[0], 0.75, 1e-6);
}

TEST(ParameterStoreTest, CloneAndCopy) {
  ParameterStore store = SmallStore();
  SEPTET_ASSERT_OK_AND_ASSIGN(ParameterStore clone, store.Clone());
  EXPECT_EQ(clone.Find("mean").value(), store.Find("mean").value());
  store.trained()[0].mutable_data<float>()[0] = 100;
  store.buffers()[0].mutable_data<float>()[0] = 200;
  EXPECT_EQ(clone.trained()[0].ToVector<float>()[0], 1);
  SEPTET_ASSERT_OK(clone.CopyBuffersFrom(store));
  EXPECT_EQ(clone.trained()[0].ToVector<float>()[0], 1);
  EXPECT_EQ(clone.buffers()[0].ToVector<float>()[0], 200);
  SEPTET_ASSERT_OK(clone.CopyFrom(store));
  EXPECT_EQ(clone.trained()[0].ToVector<float>()[0], 100);
  SEPTET_ASSERT_OK(clone.CopyFrom(clone));

  ParameterStore other;
  SEPTET_ASSERT_OK(other.Add("w", Value({1, 2, 3})));
  SEPTET_ASSERT_OK(other.Add("c", Value({4, 5})));
  SEPTET_ASSERT_OK(other.Add("mean", Value({9}), {/*trained=*/false}));
  EXPECT_THAT(clone.CopyFrom(other),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("copy of parameters: number 1 of the source "
                                 "is 'c', f32 [2], expected 'b', f32 [2]")));
  EXPECT_THAT(clone.CopyFrom(ParameterStore()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the source has 0, expected 2")));
  EXPECT_THAT(clone.CopyBuffersFrom(ParameterStore()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("copy of buffers: the source has 0")));
}

TEST(ParameterStoreTest, AddErrors) {
  ParameterStore store = SmallStore();
  EXPECT_THAT(
      store.Add("", Value({1})),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty name")));
  EXPECT_THAT(store.Add("mean", Value({1})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("parameter 'mean': there is one of that name "
                                 "already")));
  EXPECT_THAT(store.Add("x", Tensor()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("parameter 'x' has no value")));
  EXPECT_THAT(store.Add("x", Tensor::Zeros({2}, DType::kI64).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("is i64 [2], expected f32 or f64")));
  EXPECT_THAT(store.Add("x", Value({1, 2, 3}).Slice(0, 0, 3, 2).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("f32 [2], is not contiguous")));
  const float memory[2] = {1, 2};
  EXPECT_THAT(
      store.Add("x",
                Tensor::FromExternal(memory, {2}, DType::kF32, true, nullptr)
                    .value()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is read-only")));
  EXPECT_THAT(store.Add("x", store.trained()[1].Slice(0, 0, 1).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("parameter 'x' has the memory of 'b'")));
  EXPECT_THAT(store.Find("meen"),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("no parameter 'meen'; the nearest is "
                                 "'mean'")));
}

TEST(ParameterStoreTest, FilesGoOutAndComeBack) {
  ParameterStore store = SmallStore();
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                              SerializeSafetensors(store.Export("model.")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::FromBytes(bytes, "test"));
  EXPECT_THAT(file.names(), ElementsAre("model.b", "model.mean", "model.w"));
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : file.names()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(tensors[name], file.Get(name));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(ParameterStore other, store.Clone());
  for (const Tensor& t : other.trained()) {
    SEPTET_ASSERT_OK(t.CopyFrom(Tensor::Zeros(t.shape(), t.dtype()).value()));
  }
  SEPTET_ASSERT_OK(other.Import(tensors, {false, false, "model."}));
  for (const auto& [name, tensor] : store.Export()) {
    EXPECT_EQ(other.tensor(other.Find(name).value()).ToVector<float>(),
              tensor.ToVector<float>())
        << name;
  }
  // Its own memory, and other floating types.
  SEPTET_ASSERT_OK(store.Import(store.Export()));
  EXPECT_EQ(store.trained()[0].ToVector<float>(),
            (std::vector<float>{1, 2, 3}));
  SEPTET_ASSERT_OK(store.Import(
      {{"b", Value({0.5, 0.25}).To(DType::kBF16).value()}}, {true}));
  EXPECT_EQ(store.trained()[1].ToVector<float>(),
            (std::vector<float>{0.5, 0.25}));
}

TEST(ParameterStoreTest, ImportListsAllThatIsWrongAndChangesNothing) {
  ParameterStore store = SmallStore();
  const std::map<std::string, Tensor> tensors = {{"w", Value({7, 7, 7})},
                                                 {"maen", Value({1})},
                                                 {"b", Value({1, 2, 3})},
                                                 {"zzzzzz", Value({1})}};
  EXPECT_THAT(
      store.Import(tensors),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("import of parameters: 1 missing: 'mean'; "),
                     HasSubstr("1 of another shape or type: 'b' is f32 [3], "
                               "expected f32 [2]; "),
                     HasSubstr("2 unknown: 'maen'; the nearest is 'mean', "
                               "'zzzzzz'"))));
  EXPECT_EQ(store.trained()[0].ToVector<float>()[0], 1);
  EXPECT_THAT(
      store.Import({{"w", Tensor::Zeros({3}, DType::kI32).value()}}, {true}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("'w' is i32 [3], expected f32 [3]")));
  EXPECT_THAT(store.Import({{"w", Tensor()}}, {true}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'w' is undefined")));
  SEPTET_EXPECT_OK(
      store.Import({{"w", Value({7, 7, 7})}, {"q", Value({1})}}, {true, true}));
  EXPECT_EQ(store.trained()[0].ToVector<float>()[0], 7);
  // A long list is cut.
  std::map<std::string, Tensor> many;
  for (int i = 0; i < 20; ++i) many[absl::StrCat("x", i)] = Value({1});
  EXPECT_THAT(store.Import(many, {true}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("20 unknown: "), HasSubstr(", ..."))));
}

TEST(ParameterStoreTest, ImportOfItsOwnMemoryUnderOtherNames) {
  ParameterStore store;
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId a, store.Add("a", Value({1})));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId b, store.Add("b", Value({2})));
  SEPTET_ASSERT_OK(
      store.Import({{"a", store.tensor(b)}, {"b", store.tensor(a)}}));
  EXPECT_EQ(store.tensor(a).item<float>(), 2);
  EXPECT_EQ(store.tensor(b).item<float>(), 1);
}

TEST(ParameterScopeTest, NamesStreamsAndStability) {
  ParameterStore store;
  const ParameterScope root(&store, {3, DType::kF64});
  const ParameterScope layer = root.Sub("layers").Sub(2);
  EXPECT_EQ(layer.FullName("w"), "layers.2.w");
  EXPECT_EQ(layer.FullName(""), "layers.2");
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ParameterId w,
      layer.Parameter("w", {2, 3}, Initializer::Normal(0, 1), {2, 3}, false));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId mean,
                              layer.Buffer("mean", {3}, Initializer::Ones()));
  EXPECT_EQ(store.name(w), "layers.2.w");
  EXPECT_FALSE(store.decay(w));
  EXPECT_TRUE(mean.is_buffer());
  EXPECT_EQ(store.tensor(w).dtype(), DType::kF64);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(3, "init/layers.2.w"));
  const auto values = store.tensor(w).ToVector<double>();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(values[i], stream.Normal(i));
  // Another parameter before it changes nothing; another prefix does.
  ParameterStore second;
  const ParameterScope scope(&second, {3, DType::kF64});
  SEPTET_ASSERT_OK(scope.Parameter("v", {9}, Initializer::Normal(0, 1)));
  SEPTET_ASSERT_OK(
      scope.Parameter("layers.2.w", {2, 3}, Initializer::Normal(0, 1)));
  EXPECT_EQ(second.trained()[1].ToVector<double>(), values);
  ParameterStore third;
  SEPTET_ASSERT_OK(
      ParameterScope(&third, {3, DType::kF64, "init/rm/"})
          .Parameter("layers.2.w", {2, 3}, Initializer::Normal(0, 1)));
  EXPECT_NE(third.trained()[0].ToVector<double>(), values);
  EXPECT_THAT(layer.Parameter("w", {1}, Initializer::Ones()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'layers.2.w': there is one")));
  EXPECT_THAT(layer.Parameter("u", {1}, Initializer::FanInUniform()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("stream 'init/layers.2.u': fan_in_uniform(): "
                                 "fan_in is 0")));
}

TEST(PassTest, KeysDependOnSeedLayerAndStep) {
  ParameterStore store;
  const ParameterScope scope(&store, {});
  SEPTET_ASSERT_OK_AND_ASSIGN(const uint32_t a, scope.DropoutStream("a"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const uint32_t b, scope.DropoutStream("b"));
  EXPECT_EQ(a, Fnv1a32("dropout/a"));
  const PhiloxKey key = DropoutKey(Pass::Training(1, 2), a);
  EXPECT_EQ(key, DropoutKey(Pass::Training(1, 2), a));
  EXPECT_NE(key, DropoutKey(Pass::Training(1, 3), a));
  EXPECT_NE(key, DropoutKey(Pass::Training(2, 2), a));
  EXPECT_NE(key, DropoutKey(Pass::Training(1, 2), b));
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(1, "dropout/a"));
  EXPECT_EQ(key[0], stream.Element(2)[0]);
  EXPECT_EQ(key[1], stream.Element(2)[1]);
}

}  // namespace
}  // namespace septet
