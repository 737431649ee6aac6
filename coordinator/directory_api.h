// PUT /v1/participants/{name}: an operator's durable entry of the directory. The address is looked
// at first: who answers there must be who was there before. Thread: the loop's. Driver and port
// must outlive the router.
#pragma once

#include "coordinator/directory_port.h"
#include "coordinator/driver.h"
#include "http/router.h"

namespace twofold::coordinator {

void add_directory_routes(http::Router& router, Driver& driver, DirectoryPort& directory);

}  // namespace twofold::coordinator
