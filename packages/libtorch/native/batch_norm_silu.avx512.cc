#include "batch_norm_silu_loops.h"

namespace mezzo::batch_norm_silu {
const Loops kAvx512 = kLoops;
}
