#include "net/timer.h"
