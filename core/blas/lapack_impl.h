// SPDX-License-Identifier: Apache-2.0
// The routines of LAPACK (inside OpenBLAS) that core/blas calls: Fortran
// symbols, all arguments by address, column-major, and the length of each
// character argument at the end. One overload a precision; the result is
// `info`: 0 is good, -i a bad argument i, > 0 as the routine's manual says.
#ifndef SEPTET_CORE_BLAS_LAPACK_IMPL_H_
#define SEPTET_CORE_BLAS_LAPACK_IMPL_H_

#include <cstddef>

#include "openblas_config.h"

extern "C" {

void ssyevd_(const char* jobz, const char* uplo, const blasint* n, float* a,
             const blasint* lda, float* w, float* work, const blasint* lwork,
             blasint* iwork, const blasint* liwork, blasint* info, size_t,
             size_t);
void dsyevd_(const char* jobz, const char* uplo, const blasint* n, double* a,
             const blasint* lda, double* w, double* work, const blasint* lwork,
             blasint* iwork, const blasint* liwork, blasint* info, size_t,
             size_t);
void sgesdd_(const char* jobz, const blasint* m, const blasint* n, float* a,
             const blasint* lda, float* s, float* u, const blasint* ldu,
             float* vt, const blasint* ldvt, float* work, const blasint* lwork,
             blasint* iwork, blasint* info, size_t);
void dgesdd_(const char* jobz, const blasint* m, const blasint* n, double* a,
             const blasint* lda, double* s, double* u, const blasint* ldu,
             double* vt, const blasint* ldvt, double* work,
             const blasint* lwork, blasint* iwork, blasint* info, size_t);
void sgeqrf_(const blasint* m, const blasint* n, float* a, const blasint* lda,
             float* tau, float* work, const blasint* lwork, blasint* info);
void dgeqrf_(const blasint* m, const blasint* n, double* a, const blasint* lda,
             double* tau, double* work, const blasint* lwork, blasint* info);
void sgeqp3_(const blasint* m, const blasint* n, float* a, const blasint* lda,
             blasint* jpvt, float* tau, float* work, const blasint* lwork,
             blasint* info);
void dgeqp3_(const blasint* m, const blasint* n, double* a, const blasint* lda,
             blasint* jpvt, double* tau, double* work, const blasint* lwork,
             blasint* info);
void sorgqr_(const blasint* m, const blasint* n, const blasint* k, float* a,
             const blasint* lda, const float* tau, float* work,
             const blasint* lwork, blasint* info);
void dorgqr_(const blasint* m, const blasint* n, const blasint* k, double* a,
             const blasint* lda, const double* tau, double* work,
             const blasint* lwork, blasint* info);
void sgetrf_(const blasint* m, const blasint* n, float* a, const blasint* lda,
             blasint* ipiv, blasint* info);
void dgetrf_(const blasint* m, const blasint* n, double* a, const blasint* lda,
             blasint* ipiv, blasint* info);
void sgecon_(const char* norm, const blasint* n, const float* a,
             const blasint* lda, const float* anorm, float* rcond, float* work,
             blasint* iwork, blasint* info, size_t);
void dgecon_(const char* norm, const blasint* n, const double* a,
             const blasint* lda, const double* anorm, double* rcond,
             double* work, blasint* iwork, blasint* info, size_t);
void sgetrs_(const char* trans, const blasint* n, const blasint* nrhs,
             const float* a, const blasint* lda, const blasint* ipiv, float* b,
             const blasint* ldb, blasint* info, size_t);
void dgetrs_(const char* trans, const blasint* n, const blasint* nrhs,
             const double* a, const blasint* lda, const blasint* ipiv,
             double* b, const blasint* ldb, blasint* info, size_t);
void spotrf_(const char* uplo, const blasint* n, float* a, const blasint* lda,
             blasint* info, size_t);
void dpotrf_(const char* uplo, const blasint* n, double* a, const blasint* lda,
             blasint* info, size_t);
void spotrs_(const char* uplo, const blasint* n, const blasint* nrhs,
             const float* a, const blasint* lda, float* b, const blasint* ldb,
             blasint* info, size_t);
void dpotrs_(const char* uplo, const blasint* n, const blasint* nrhs,
             const double* a, const blasint* lda, double* b, const blasint* ldb,
             blasint* info, size_t);
void strtrs_(const char* uplo, const char* trans, const char* diag,
             const blasint* n, const blasint* nrhs, const float* a,
             const blasint* lda, float* b, const blasint* ldb, blasint* info,
             size_t, size_t, size_t);
void dtrtrs_(const char* uplo, const char* trans, const char* diag,
             const blasint* n, const blasint* nrhs, const double* a,
             const blasint* lda, double* b, const blasint* ldb, blasint* info,
             size_t, size_t, size_t);
void sgelsd_(const blasint* m, const blasint* n, const blasint* nrhs, float* a,
             const blasint* lda, float* b, const blasint* ldb, float* s,
             const float* rcond, blasint* rank, float* work,
             const blasint* lwork, blasint* iwork, blasint* info);
void dgelsd_(const blasint* m, const blasint* n, const blasint* nrhs, double* a,
             const blasint* lda, double* b, const blasint* ldb, double* s,
             const double* rcond, blasint* rank, double* work,
             const blasint* lwork, blasint* iwork, blasint* info);

}  // extern "C"

namespace septet {
namespace lapack {

inline blasint Syevd(char jobz, char uplo, blasint n, float* a, blasint lda,
                     float* w, float* work, blasint lwork, blasint* iwork,
                     blasint liwork) {
  blasint info = 0;
  ssyevd_(&jobz, &uplo, &n, a, &lda, w, work, &lwork, iwork, &liwork, &info, 1,
          1);
  return info;
}
inline blasint Syevd(char jobz, char uplo, blasint n, double* a, blasint lda,
                     double* w, double* work, blasint lwork, blasint* iwork,
                     blasint liwork) {
  blasint info = 0;
  dsyevd_(&jobz, &uplo, &n, a, &lda, w, work, &lwork, iwork, &liwork, &info, 1,
          1);
  return info;
}
inline blasint Gesdd(char jobz, blasint m, blasint n, float* a, blasint lda,
                     float* s, float* u, blasint ldu, float* vt, blasint ldvt,
                     float* work, blasint lwork, blasint* iwork) {
  blasint info = 0;
  sgesdd_(&jobz, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, &lwork, iwork,
          &info, 1);
  return info;
}
inline blasint Gesdd(char jobz, blasint m, blasint n, double* a, blasint lda,
                     double* s, double* u, blasint ldu, double* vt,
                     blasint ldvt, double* work, blasint lwork,
                     blasint* iwork) {
  blasint info = 0;
  dgesdd_(&jobz, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, &lwork, iwork,
          &info, 1);
  return info;
}
inline blasint Geqrf(blasint m, blasint n, float* a, blasint lda, float* tau,
                     float* work, blasint lwork) {
  blasint info = 0;
  sgeqrf_(&m, &n, a, &lda, tau, work, &lwork, &info);
  return info;
}
inline blasint Geqrf(blasint m, blasint n, double* a, blasint lda, double* tau,
                     double* work, blasint lwork) {
  blasint info = 0;
  dgeqrf_(&m, &n, a, &lda, tau, work, &lwork, &info);
  return info;
}
inline blasint Geqp3(blasint m, blasint n, float* a, blasint lda, blasint* jpvt,
                     float* tau, float* work, blasint lwork) {
  blasint info = 0;
  sgeqp3_(&m, &n, a, &lda, jpvt, tau, work, &lwork, &info);
  return info;
}
inline blasint Geqp3(blasint m, blasint n, double* a, blasint lda,
                     blasint* jpvt, double* tau, double* work, blasint lwork) {
  blasint info = 0;
  dgeqp3_(&m, &n, a, &lda, jpvt, tau, work, &lwork, &info);
  return info;
}
inline blasint Orgqr(blasint m, blasint n, blasint k, float* a, blasint lda,
                     const float* tau, float* work, blasint lwork) {
  blasint info = 0;
  sorgqr_(&m, &n, &k, a, &lda, tau, work, &lwork, &info);
  return info;
}
inline blasint Orgqr(blasint m, blasint n, blasint k, double* a, blasint lda,
                     const double* tau, double* work, blasint lwork) {
  blasint info = 0;
  dorgqr_(&m, &n, &k, a, &lda, tau, work, &lwork, &info);
  return info;
}
inline blasint Getrf(blasint m, blasint n, float* a, blasint lda,
                     blasint* ipiv) {
  blasint info = 0;
  sgetrf_(&m, &n, a, &lda, ipiv, &info);
  return info;
}
inline blasint Getrf(blasint m, blasint n, double* a, blasint lda,
                     blasint* ipiv) {
  blasint info = 0;
  dgetrf_(&m, &n, a, &lda, ipiv, &info);
  return info;
}
inline blasint Gecon(char norm, blasint n, const float* a, blasint lda,
                     float anorm, float* rcond, float* work, blasint* iwork) {
  blasint info = 0;
  sgecon_(&norm, &n, a, &lda, &anorm, rcond, work, iwork, &info, 1);
  return info;
}
inline blasint Gecon(char norm, blasint n, const double* a, blasint lda,
                     double anorm, double* rcond, double* work,
                     blasint* iwork) {
  blasint info = 0;
  dgecon_(&norm, &n, a, &lda, &anorm, rcond, work, iwork, &info, 1);
  return info;
}
inline blasint Getrs(char trans, blasint n, blasint nrhs, const float* a,
                     blasint lda, const blasint* ipiv, float* b, blasint ldb) {
  blasint info = 0;
  sgetrs_(&trans, &n, &nrhs, a, &lda, ipiv, b, &ldb, &info, 1);
  return info;
}
inline blasint Getrs(char trans, blasint n, blasint nrhs, const double* a,
                     blasint lda, const blasint* ipiv, double* b, blasint ldb) {
  blasint info = 0;
  dgetrs_(&trans, &n, &nrhs, a, &lda, ipiv, b, &ldb, &info, 1);
  return info;
}
inline blasint Potrf(char uplo, blasint n, float* a, blasint lda) {
  blasint info = 0;
  spotrf_(&uplo, &n, a, &lda, &info, 1);
  return info;
}
inline blasint Potrf(char uplo, blasint n, double* a, blasint lda) {
  blasint info = 0;
  dpotrf_(&uplo, &n, a, &lda, &info, 1);
  return info;
}
inline blasint Potrs(char uplo, blasint n, blasint nrhs, const float* a,
                     blasint lda, float* b, blasint ldb) {
  blasint info = 0;
  spotrs_(&uplo, &n, &nrhs, a, &lda, b, &ldb, &info, 1);
  return info;
}
inline blasint Potrs(char uplo, blasint n, blasint nrhs, const double* a,
                     blasint lda, double* b, blasint ldb) {
  blasint info = 0;
  dpotrs_(&uplo, &n, &nrhs, a, &lda, b, &ldb, &info, 1);
  return info;
}
inline blasint Trtrs(char uplo, char trans, char diag, blasint n, blasint nrhs,
                     const float* a, blasint lda, float* b, blasint ldb) {
  blasint info = 0;
  strtrs_(&uplo, &trans, &diag, &n, &nrhs, a, &lda, b, &ldb, &info, 1, 1, 1);
  return info;
}
inline blasint Trtrs(char uplo, char trans, char diag, blasint n, blasint nrhs,
                     const double* a, blasint lda, double* b, blasint ldb) {
  blasint info = 0;
  dtrtrs_(&uplo, &trans, &diag, &n, &nrhs, a, &lda, b, &ldb, &info, 1, 1, 1);
  return info;
}
inline blasint Gelsd(blasint m, blasint n, blasint nrhs, float* a, blasint lda,
                     float* b, blasint ldb, float* s, float rcond,
                     blasint* rank, float* work, blasint lwork,
                     blasint* iwork) {
  blasint info = 0;
  sgelsd_(&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, iwork,
          &info);
  return info;
}
inline blasint Gelsd(blasint m, blasint n, blasint nrhs, double* a, blasint lda,
                     double* b, blasint ldb, double* s, double rcond,
                     blasint* rank, double* work, blasint lwork,
                     blasint* iwork) {
  blasint info = 0;
  dgelsd_(&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, iwork,
          &info);
  return info;
}

}  // namespace lapack
}  // namespace septet

#endif  // SEPTET_CORE_BLAS_LAPACK_IMPL_H_
