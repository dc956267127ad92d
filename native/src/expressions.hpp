// Expressions and words that minnow's Python states once.
#pragma once

namespace minnow {

// An expression, and the name of its reader or the text in its place.
struct Form { const char *expression, *to; };

#include "expressions.inc"

}  // namespace minnow
