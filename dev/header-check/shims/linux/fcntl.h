#include <uapi/linux/fcntl.h>
