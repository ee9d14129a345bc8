// SPDX-License-Identifier: Apache-2.0
//
// The names on the left are what g++ 12 and clang 14 emit for coroutines and clones at -O0 and -O2, demangled.
#include <catch2/catch.hpp>

#include "stack/function_name.hpp"

using loopwatch::demangle;
using loopwatch::demangle_type;
using loopwatch::tidy_function;

TEST_CASE("Rust's names are those that people wrote")
{
    // By rustc 1.95 -O, without and with the legacy mangling; the text is that of binutils' c++filt, without hashes.
    CHECK(demangle("_RNvCs1QrRpgGZmAm_1a6handle") == "a::handle");
    CHECK(demangle("_RNCNvCs1QrRpgGZmAm_1a6handle0B3_") == "a::handle::{closure#0}");
    CHECK(demangle("_RNCNCNCNvNtCsjrHSEGnQ3l9_3std2rt19lang_start_internal00s_0B9_") ==
          "std::rt::lang_start_internal::{closure#0}::{closure#0}::{closure#1}");
    CHECK(demangle("_RINvMNtCsgEmfK2I1SDS_4core3stre18trim_start_matchesReECsgY6Mt91CT9J_14rustc_demangle") ==
          "<str>::trim_start_matches::<&str>");
    CHECK(demangle("_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtCslNYArtu3iFV_5alloc5boxed3BoxSNtNtBL_6string6St"
                   "ringEECsjrHSEGnQ3l9_3std") ==
          "core::ptr::drop_in_place::<alloc::boxed::Box<[alloc::string::String]>>");
    CHECK(demangle("_RNvXs_NtC1a5storeINtB4_5StorejENtB4_5Flush5flush.llvm.123") ==
          "<a::store::Store<usize> as a::store::Flush>::flush");
    CHECK(demangle("_ZN1a5serve17ha0a2039f3be7f71cE") == "a::serve");
    CHECK(demangle("_ZN1a5store14Store$LT$T$GT$4size17ha2efbcaf285933a6E") == "a::store::Store<T>::size");
    CHECK(demangle("_ZN83_$LT$alloc..boxed..Box$LT$F$GT$$u20$as$u20$core..ops..function..FnOnce$LT$A$GT$$GT$9call_once"
                   "17h0123456789abcdefE") == "<alloc::boxed::Box<F> as core::ops::function::FnOnce<A>>::call_once");
    CHECK(demangle("_ZN1a6handle28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE") == "a::handle::{{closure}}");
}

TEST_CASE("what only looks like a name of Rust's stays as it is")
{
    for (const char* name : {"_R", "_Reset", "_RNvC", "_RNvCs1_1a99handle", "_RNvB5_6handle", "_RIC1aTTTTT"})
        CHECK(demangle(name) == name);
    std::string deep = "_R";
    for (int i = 0; i < 10'000; ++i) deep += "Nv";
    CHECK(demangle(deep.c_str()) == deep);
    CHECK(demangle("_ZN1a5serve3habE") == "a::serve::hab");
}

TEST_CASE("a coroutine's body carries its coroutine's name")
{
    CHECK(demangle("_Z5plainPZL5plainvE16_ZL5plainv.Frame.actor") == "plain()");
    CHECK(demangle("_Z5plainPZL5plainvE16_ZL5plainv.Frame.actor.cold") == "plain()");
    CHECK(demangle("_Z5plainPZL5plainvE16_ZL5plainv.Frame.destroy") == "plain()");
    CHECK(demangle("_ZL5plainv.resume") == "plain()");
    CHECK(demangle("_ZL5plainv.destroy") == "plain()");
    CHECK(demangle("_ZN2ns5Store4saveEPZNS0_4saveENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiE77_"
                   "ZN2ns5Store4saveENSt7__"
                   "cxx1112basic_stringIcSt11char_traitsIcESaIcEEEi.Frame.actor") ==
          "ns::Store::save(std::string, int)");
    CHECK(demangle("_ZN2ns5Store4saveENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEi.resume") ==
          "ns::Store::save(std::string, int)");
    CHECK(demangle("_ZN2ns12_GLOBAL__N_14anonEPZNS0_4anonEiE33_ZN2ns12_GLOBAL__N_14anonEi.Frame.actor") ==
          "ns::(anonymous namespace)::anon(int)");
}

TEST_CASE("a template's coroutine is called the same by both compilers")
{
    const std::string expected = "ns::tmpl<long>(long, std::string const&)";
    CHECK(demangle("_ZN2ns4tmplEPZNS_4tmplIlEE4TaskIT_ES2_RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE87_"
                   "ZN2ns4tmplIlEE4"
                   "TaskIT_ES2_RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE.Frame.actor") == expected);
    CHECK(demangle("_ZN2ns4tmplIlEE4TaskIT_ES2_RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE.resume") ==
          expected);
}

TEST_CASE("a lambda's coroutine keeps where the lambda stands")
{
    CHECK(demangle("_ZZ4mainENUliE_clEPZZ4mainENKS_clEiE26_ZZ4mainENKUliE_clEi.Frame.actor") ==
          "main::{lambda(int)#1}::operator()(int) const");
    CHECK(demangle("_ZZ4mainENK3$_0clEi.resume") == "main::$_0::operator()(int) const");
    CHECK(demangle("_ZZ4mainENK3$_1clIiEE4TaskIiET_.resume") == "main::$_1::operator()<int>(int) const");
}

TEST_CASE("what optimizers append goes")
{
    CHECK(tidy_function("store::flush(int) [clone .isra.0]") == "store::flush(int)");
    CHECK(tidy_function("store::flush(int) [clone .part.3] [clone .cold]") == "store::flush(int)");
    CHECK(tidy_function("store::flush(int) (.llvm.1234)") == "store::flush(int)");
    CHECK(tidy_function("write_all.constprop.0.isra.1") == "write_all");
    CHECK(tidy_function("flush.part.0.cold") == "flush");
    CHECK(tidy_function("name[abi:cxx11](int)") == "name(int)");
}

TEST_CASE("what is no decoration stays")
{
    CHECK(tidy_function("nanosleep") == "nanosleep");
    CHECK(tidy_function("file.partial") == "file.partial");
    CHECK(tidy_function(".cold") == ".cold");
    CHECK(tidy_function("operator new(unsigned long)") == "operator new(unsigned long)");
    CHECK(tidy_function("Store::operator bool() const") == "Store::operator bool() const");
    CHECK(tidy_function("std::ostream& std::operator<< <int>(std::ostream&, int)") ==
          "std::ostream& std::operator<< <int>(std::ostream&, int)");
    CHECK(tidy_function("f(void (*)(int))") == "f(void (*)(int))");
    CHECK(demangle("i") == "i");
    CHECK(demangle("_Znotmangled") == "_Znotmangled");
}

TEST_CASE("types are called as they were written")
{
    CHECK(demangle_type("St13runtime_error") == "std::runtime_error");
    CHECK(demangle_type("N4shop8NotFoundE") == "shop::NotFound");
    CHECK(demangle_type("PKc") == "char const*");
    CHECK(demangle_type("what is none") == "what is none");
    CHECK(demangle_type("") == "");
}

TEST_CASE("broken names end")
{
    for (const char* name : {"", ".Frame*)", "(.Frame*)", "::_Z.Frame*)", "f(::_Zx.Frame*)", "[clone ", " [clone ]",
                             "[abi:", ")", "(", "<<<>", "> >"})
        CHECK_NOTHROW(tidy_function(name));
    CHECK(tidy_function(std::string(100000, '(') + ".Frame*)").size() > 1000);
}
