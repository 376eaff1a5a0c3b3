#include "audit/desk.h"
