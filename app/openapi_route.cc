#include "app/openapi_route.h"

#include <string>

namespace twofold::app {

void add_openapi_route(http::Router& router, std::string_view document) {
    router.add(http::Method::get,
               "/openapi.json",
               http::Role::open,
               [document](const http::Request&, http::ResponseSink sink) {
                   sink.send(http::json_response(200, std::string(document)));
               });
}

}  // namespace twofold::app
