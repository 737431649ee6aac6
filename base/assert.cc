#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace twofold::base {

namespace {
const char* context_text = nullptr;
}

void set_assertion_context(const char* text) noexcept { context_text = text; }

void assertion_failed(const char* expression,
                      const char* message,
                      const char* file,
                      int line) noexcept {
    std::fprintf(stderr,
                 "twofold: assertion failed: %s (%s) at %s:%d%s%s\n",
                 message,
                 expression,
                 file,
                 line,
                 context_text != nullptr ? " " : "",
                 context_text != nullptr ? context_text : "");
    std::fflush(stderr);
    std::abort();
}

}  // namespace twofold::base
