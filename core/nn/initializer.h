// SPDX-License-Identifier: Apache-2.0
// First values of parameters.
//
// An Initializer says how; its numbers come from the stream
// "init/<parameter name>" (core/random/stream.h), element e for element e of
// the parameter in row-major order. So a value depends on seed, name and place
// alone: a parameter more shifts no other, and any part can be recomputed.
// Values are computed in double and rounded once: an f32 parameter is the f64
// one rounded. The bits do not depend on the number of threads, nor, but for
// Orthogonal's, which come out of LAPACK, on the machine.
//
//   Initializer init = Initializer::XavierUniform(0.5).Scaled(0.7);
//   SEPTET_ASSIGN_OR_RETURN(RandomStream stream,
//                           RandomStream::Create(seed, "init/fc.weight"));
//   SEPTET_RETURN_IF_ERROR(init.Fill(stream, Fans{64, 32}, weight));
//
// Which document asks for what:
//
//   cope.md 3.2, 3.3   Normal(0, D^-1/2) tables and embeddings, Zeros for the
//                      position table, FanInUniform for projections, and
//                      .Scaled(ResidualScale(layers)) for proj_out and fc2
//                      with pre-norm
//   cppo.md 3.2, 7.3   Normal(0, 0.04); Normal(0, 1/(d+1)) for a reward head;
//                      FanInUniform for fresh value and score heads
//   gahb.md 3          KaimingNormal() (fan_in, gain sqrt 2; for the transposed
//                      convolution the layer gives fan_in = 4 C_out);
//                      ClampedNormal(0, 2/9/64, -0.025, 0.025), in BFD
//                      sqrt(2/9/64), for gammas
//   nat.md 3.7         FanInUniform for weights and biases (Torch7, PyTorch);
//                      KaimingNormal(); Uniform(0, 1) for batch norm's gain
//   offline_rl.md 3.1  XavierUniform(1), and gain 0.1 for the actor's mean
//                      (variance scaling 1.0 and 1e-2 over fan_avg); Orthogonal
//                      for the preset iql2021
//   redshift.md 3      VarianceScaling with gain alpha, fan kAverage, kIn or
//                      kOut, and kUniform, kNormal, kStudentT2, kLaplace or
//                      kBall; Uniform(-beta, beta) biases; GPT-2:
//                      Normal(0, 0.02), residual projections
//                      .Scaled(ResidualScale(layers))
//   retnet.md 3.7      XavierUniform with gains 2^-2.5 and 2^-1, FanInUniform,
//                      Normal(0, d^-1/2), .Scaled(DeepNormScale(layers)) and
//                      .Scaled(SubLnScale(layers))
//
// Cost: 2 to 10 ns an element; Orthogonal a QR decomposition (core/blas/qr.h).
#ifndef SEPTET_CORE_NN_INITIALIZER_H_
#define SEPTET_CORE_NN_INITIALIZER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// How many numbers go into one output of a layer, and into how many outputs
// one input goes. A layer knows them; a shape alone does not (a bias, a joint
// projection, [in, out] or [out, in]).
struct Fans {
  int64_t in = 0;  // 0: not known
  int64_t out = 0;
};

// Of a convolution with kernels of kh x kw, for groups = 1 or with the
// channels of one group.
inline Fans ConvFans(int64_t kh, int64_t kw, int64_t in, int64_t out) {
  return {kh * kw * in, kh * kw * out};
}

enum class FanMode { kIn, kOut, kAverage };

// All of mean 0 and, but for kStudentT2, whose variance is infinite, of the
// standard deviation asked for.
enum class VarianceDistribution {
  kUniform,          // U(-sqrt 3 std, sqrt 3 std)
  kNormal,           // N(0, std^2)
  kTruncatedNormal,  // a normal cut at two of its deviations, scaled to std
  kStudentT2,        // std times Student's t with 2 degrees of freedom
  kLaplace,
  // The whole tensor uniform in the ball of radius std sqrt(n + 2), n its
  // elements. Uses the stream's elements n and n + 1 besides.
  kBall,
};

struct Initializer {
  enum class Kind {
    kConstant,         // a
    kUniform,          // U(a, b)
    kNormal,           // N(a, b^2)
    kTruncatedNormal,  // N(a, b^2) given that it is in [lo, hi]
    kClampedNormal,    // N(a, b^2), what lies outside set to lo or hi
    kVarianceScaling,  // std = a / sqrt(fan)
    kFanInUniform,     // U(-1/sqrt(fan_in), 1/sqrt(fan_in))
    kOrthogonal,       // a Q
  };

  Kind kind = Kind::kConstant;
  double a = 0;
  double b = 0;
  double lo = 0;
  double hi = 0;
  FanMode fan = FanMode::kIn;
  VarianceDistribution distribution = VarianceDistribution::kUniform;
  double scale = 1;  // every value is multiplied by it at the end

  static Initializer Constant(double value);
  static Initializer Zeros() { return Constant(0); }
  static Initializer Ones() { return Constant(1); }
  static Initializer Uniform(double lo, double hi);
  static Initializer Normal(double mean, double std);
  // Rejection: normals from words 0, 1 and 2, 3 of the element, then of its
  // blocks with 1, 2, ... in the third word of the counter, until one is in
  // [lo, hi] (inclusive). So it equals Normal where that is within.
  // The interval must hold at least 1e-3 of the distribution.
  static Initializer TruncatedNormal(double mean, double std, double lo,
                                     double hi);
  static Initializer ClampedNormal(double mean, double std, double lo,
                                   double hi);
  // std = gain / sqrt(fan), fan the mean of both for kAverage.
  static Initializer VarianceScaling(double gain, FanMode fan,
                                     VarianceDistribution distribution);
  // Glorot and Bengio, 2010: U(+-gain sqrt(6 / (in + out))), or normal with
  // std = gain sqrt(2 / (in + out)).
  static Initializer XavierUniform(double gain = 1);
  static Initializer XavierNormal(double gain = 1);
  // He et al., 2015: U(+-gain sqrt(3 / fan)), or normal with std = gain /
  // sqrt(fan). The default gain, sqrt 2, is that of relu.
  static Initializer KaimingUniform(FanMode fan = FanMode::kIn,
                                    double gain = 1.4142135623730951);
  static Initializer KaimingNormal(FanMode fan = FanMode::kIn,
                                   double gain = 1.4142135623730951);
  // The default of PyTorch's and Torch7's linear and convolution layers, for
  // weight and bias: s (2 u - 1), s = 1 / sqrt(fan_in).
  static Initializer FanInUniform();
  // Saxe et al., 2014: of a standard normal matrix of the tensor's shape, all
  // axes but the last made one, the orthogonal factor with positive diagonal of
  // R: orthonormal columns, or rows where there are fewer rows. Multiplied by
  // `gain`. Uses the stream's elements as the matrix's.
  static Initializer Orthogonal(double gain = 1);

  // The same values times `factor`.
  Initializer Scaled(double factor) const;

  // InvalidArgument naming the field, its value and its range.
  absl::Status Validate() const;

  // "xavier"-like text for messages: "variance_scaling(gain=1, fan=average,
  // uniform)".
  std::string ToString() const;

  // Overwrites `out`, contiguous f32 or f64 of any shape.
  // Errors: those of Validate(); InvalidArgument if a fan is needed and not
  // known, if Orthogonal is asked of a tensor of rank < 2, or for another
  // dtype; FailedPrecondition if it is read-only. Messages name the stream.
  absl::Status Fill(const RandomStream& stream, const Fans& fans,
                    const Tensor& out) const;
};

// sqrt(2 / (1 + slope^2)), PyTorch's gain for leaky_relu with that slope ("a"
// of kaiming_uniform_).
double LeakyReluGain(double slope);

// 1 / sqrt(2 layers): of the projections that end a residual branch, of which
// each layer has two (GPT-2).
double ResidualScale(int64_t layers);

// DeepNet (Wang et al., 2022, arXiv 2203.00555, decoder-only): the residual is
// multiplied by alpha = (2 layers)^(1/4); value, output and feed-forward
// weights by (8 layers)^(-1/4).
double DeepNormAlpha(int64_t layers);
double DeepNormScale(int64_t layers);

// sqrt(ln(2 layers)): Foundation Transformers (2022, arXiv 2210.06423) for
// sub-LayerNorm, decoder-only.
double SubLnScale(int64_t layers);

}  // namespace septet

#endif  // SEPTET_CORE_NN_INITIALIZER_H_
