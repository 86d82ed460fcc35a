#include <uapi/linux/utsname.h>
