// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/runner.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// An op with a kernel for f64 alone: f32 takes the composite.
absl::Status InferCopy(const InferArgs& args) {
  args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
  return absl::OkStatus();
}
absl::Status CopyKernel(const KernelArgs& args) {
  return args.outputs[0].CopyFrom(args.input(0));
}
void CopyComposite(CompositeArgs& args) { args.outputs[0] = args.inputs[0]; }
const Op& CopyOp() {
  static const Op& op = [&]() -> const Op& {
    OpDef def;
    def.name = "runner_test_copy";
    def.infer = &InferCopy;
    def.composite = &CopyComposite;
    return RegisterOp(def);
  }();
  return op;
}
SEPTET_REGISTER_KERNEL(runner_test_copy, kCpu, kF64, "plain", CopyKernel);

// y = scale x through the op; `count` is checked if it is there; `residual` by
// a bound.
absl::Status Copy(CaseRun& run) {
  Case& file = run.file();
  SEPTET_ASSIGN_OR_RETURN(const Tensor x, run.Input("x"));
  SEPTET_ASSIGN_OR_RETURN(const bool skip, file.Bool("skip", false));
  if (skip) return absl::OkStatus();
  file.Ignore("decoration");
  const Var input = x;
  SEPTET_RETURN_IF_ERROR(run.Expect("y", Apply(CopyOp(), {&input})));
  if (file.HasTensor("loose")) {
    SEPTET_RETURN_IF_ERROR(run.Expect(
        "loose", input, Tolerance{1, 0, Tolerance::Scale::kElement}));
  }
  if (file.HasTensor("residual")) {
    SEPTET_ASSIGN_OR_RETURN(const double residual, file.Double("residual"));
    SEPTET_RETURN_IF_ERROR(run.ExpectBound("residual", residual, 0.5));
  }
  if (file.HasTensor("count")) {
    SEPTET_RETURN_IF_ERROR(run.Expect(
        "count",
        Tensor::Full({}, static_cast<double>(x.num_elements()), DType::kI64)));
  }
  run.NoteDispatch("by hand");
  return absl::OkStatus();
}
[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"runner_test/copy",
                    {1e-9, 0, Tolerance::Scale::kElement},
                    {1e-6, 0, Tolerance::Scale::kElement},
                    &Copy});

Tensor Doubles(const std::vector<double>& values) {
  return *Tensor::FromValues<double>({static_cast<int64_t>(values.size())},
                                     values);
}

CaseResult RunCopy(Case::Tensors tensors, Case::Options options = {},
                   DType dtype = DType::kF64) {
  options.emplace("method", "runner_test");
  options.emplace("case", "copy");
  Case file("f", std::move(tensors), std::move(options));
  return RunCase(&file, {dtype});
}

TEST(RunnerTest, Passes) {
  const CaseResult result =
      RunCopy({{"x", Doubles({1, 2})}, {"y", Doubles({1, 2})}});
  EXPECT_TRUE(result.passed()) << result.ToString();
  EXPECT_EQ(result.ToString(),
            "PASS runner_test/copy f64 f\n"
            "  y f64 [2]  error 0 of 1e-09 allowed\n"
            "  dispatch: runner_test_copy cpu/f64 plain; by hand\n");
}

TEST(RunnerTest, DisagreementFails) {
  const CaseResult result =
      RunCopy({{"x", Doubles({1, 2})}, {"y", Doubles({1, 2.5})}});
  EXPECT_THAT(result.failures, ElementsAre("1 of 1 tensors disagree"));
  EXPECT_THAT(result.ToString(),
              HasSubstr("FAIL runner_test/copy f64 f\n"
                        "! y f64 [2]  error 0.5 of 1e-09 allowed at [1]: got "
                        "2, want 2.5\n"));
}

TEST(RunnerTest, OtherShapeFails) {
  EXPECT_THAT(RunCopy({{"x", Doubles({1, 2})}, {"y", Doubles({1})}}).ToString(),
              HasSubstr("! y f64 [1]  got f64 [2], want f64 [1]"));
}

TEST(RunnerTest, AFamilyMayGiveATensorAToleranceOfItsOwn) {
  const Case::Tensors tensors = {
      {"x", Doubles({1})}, {"y", Doubles({1})}, {"loose", Doubles({1.9})}};
  EXPECT_THAT(RunCopy(tensors).failures, IsEmpty());
}

TEST(RunnerTest, BoundsAreChecked) {
  const Case::Tensors tensors = {
      {"x", Doubles({1})}, {"y", Doubles({1})}, {"residual", Doubles({0})}};
  EXPECT_THAT(RunCopy(tensors, {{"residual", "0.5"}}).failures, IsEmpty());
  EXPECT_THAT(RunCopy(tensors, {{"residual", "0.6"}}).ToString(),
              HasSubstr("! residual f64 [1]  error 0.6 of 0.5 allowed"));
  EXPECT_FALSE(RunCopy(tensors, {{"residual", "nan"}}).passed());
}

TEST(RunnerTest, IntegersOffByOneFail) {
  Case::Tensors tensors = {{"x", Doubles({1, 2})}, {"y", Doubles({1, 2})}};
  tensors["count"] = *Tensor::Full({}, 2, DType::kI64);
  EXPECT_THAT(RunCopy(tensors).failures, IsEmpty());
  tensors["count"] = *Tensor::Full({}, 3, DType::kI64);
  EXPECT_THAT(RunCopy(tensors).failures,
              ElementsAre("1 of 2 tensors disagree"));
}

TEST(RunnerTest, UnusedTensorsFail) {
  EXPECT_THAT(RunCopy({{"x", Doubles({1})},
                       {"y", Doubles({1})},
                       {"z", Doubles({1})},
                       {"more", Doubles({1})}})
                  .failures,
              ElementsAre("unused tensors: more, z"));
}

TEST(RunnerTest, IgnoredTensorsAreNamed) {
  const CaseResult result = RunCopy(
      {{"x", Doubles({1})}, {"y", Doubles({1})}, {"decoration", Doubles({1})}});
  EXPECT_TRUE(result.passed());
  EXPECT_THAT(result.ToString(), HasSubstr("  ignored: decoration\n"));
}

TEST(RunnerTest, ErrorsOfTheAdapterFail) {
  EXPECT_THAT(RunCopy({{"y", Doubles({1})}}).failures,
              ElementsAre("INVALID_ARGUMENT: f: tensor \"x\" is missing"));
  EXPECT_THAT(RunCopy({{"x", Doubles({1})}}).failures,
              ElementsAre("INVALID_ARGUMENT: f: tensor \"y\" is missing"));
  const Tensor integers = *Tensor::Full({1}, 1, DType::kI64);
  EXPECT_THAT(
      RunCopy({{"x", integers}, {"y", Doubles({1})}}).failures,
      ElementsAre(HasSubstr("\"x\" is i64 [1], want floating numbers")));
}

TEST(RunnerTest, ComparingNothingFails) {
  EXPECT_THAT(RunCopy({{"x", Doubles({1})}}, {{"skip", "1"}}).failures,
              ElementsAre("nothing was compared"));
}

TEST(RunnerTest, TheCompositeInPlaceOfAKernelFails) {
  const CaseResult result =
      RunCopy({{"x", Doubles({1})}, {"y", Doubles({1})}}, {}, DType::kF32);
  EXPECT_THAT(result.failures,
              ElementsAre("not a kernel but the composite ran: "
                          "runner_test_copy cpu/f32 composite"));
}

TEST(RunnerTest, UnknownFamiliesFailWithTheNearestName) {
  Case::Options options = {{"method", "runner_test"}, {"case", "cpoy"}};
  Case file("f", {}, options);
  const CaseResult result = RunCase(&file, {});
  EXPECT_EQ(result.family, "runner_test/cpoy");
  EXPECT_THAT(result.failures,
              ElementsAre(HasSubstr("NOT_FOUND: unknown family "
                                    "\"runner_test/cpoy\"; the nearest is "
                                    "\"runner_test/copy\"")));
  Case nameless("f", {}, {{"method", "x"}});
  EXPECT_THAT(RunCase(&nameless, {}).failures,
              ElementsAre(HasSubstr("option \"case\" is missing")));
}

TEST(RunnerTest, UnreadableFilesFail) {
  const CaseResult result = RunCaseFile("gone.safetensors", {});
  EXPECT_THAT(result.failures, ElementsAre(HasSubstr("NOT_FOUND: ")));
  EXPECT_THAT(result.ToString(), HasSubstr("FAIL ? f64 gone.safetensors\n"));
}

TEST(RunnerDeathTest, TwoFamiliesOfOneNameAbort) {
  EXPECT_DEATH(RegisterFamily({"runner_test/copy", {}, {}, &Copy}),
               "two conformance families of one name");
}

class FindCaseFilesTest : public ::testing::Test {
 protected:
  FindCaseFilesTest() : root_(fs::path(::testing::TempDir()) / "find") {
    fs::remove_all(root_);
    for (const char* file : {"b.safetensors", "a/c.safetensors", "a/notes.txt",
                             "a/deep/er/d.safetensors", "safetensors"}) {
      const fs::path path = root_ / file;
      fs::create_directories(path.parent_path());
      SEPTET_EXPECT_OK(WriteFileAtomically(path.string(), ""));
    }
    fs::create_directories(root_ / "empty");
  }

  std::string At(const std::string& name) const {
    return (root_ / name).string();
  }

  const fs::path root_;
};

TEST_F(FindCaseFilesTest, DirectoriesStandForWhatIsBelow) {
  EXPECT_THAT(*FindCaseFiles({root_.string()}),
              ElementsAre(At("a/c.safetensors"), At("a/deep/er/d.safetensors"),
                          At("b.safetensors")));
}

TEST_F(FindCaseFilesTest, FilesStandForThemselves) {
  EXPECT_THAT(*FindCaseFiles({At("gone"), At("a/notes.txt")}),
              ElementsAre(At("a/notes.txt"), At("gone")));
}

TEST_F(FindCaseFilesTest, EachFileOnce) {
  fs::create_directory_symlink("..", root_ / "a" / "up");
  fs::create_symlink("b.safetensors", root_ / "link.safetensors");
  EXPECT_THAT(*FindCaseFiles({root_.string(), At("a"), At("./b.safetensors"),
                              At("b.safetensors"), root_.string()}),
              ElementsAre(HasSubstr("b.safetensors"), HasSubstr("safetensors"),
                          HasSubstr("safetensors")));
}

TEST_F(FindCaseFilesTest, DanglingLinksAreFilesThatWillFail) {
  fs::create_symlink("nowhere", root_ / "empty" / "x.safetensors");
  EXPECT_THAT(*FindCaseFiles({At("empty")}),
              ElementsAre(At("empty/x.safetensors")));
}

TEST_F(FindCaseFilesTest, NothingIsAnError) {
  EXPECT_THAT(FindCaseFiles({At("b.safetensors"), At("empty")}),
              StatusIs(absl::StatusCode::kNotFound,
                       At("empty") + ": no *.safetensors in this directory"));
  EXPECT_THAT(FindCaseFiles({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("no files")));
}

}  // namespace
}  // namespace septet
