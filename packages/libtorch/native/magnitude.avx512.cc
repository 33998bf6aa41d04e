#include "magnitude_loops.h"

namespace mezzo::magnitude {
const Loops kAvx512 = kLoops;
}
