#include "http/router.h"

#include "http/fake_response_port.h"
#include "http/problem.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace twofold::http {
namespace {

class RouterTest : public ::testing::Test {
public:
    RouterTest() {
        add(Method::get, "/", "root");
        add(Method::get, "/v1/transactions", "list");
        add(Method::post, "/v1/transactions", "begin");
        add(Method::get, "/v1/transactions/{id}", "show");
        add(Method::get, "/v1/transactions/summary", "summary");
        add(Method::post, "/v1/transactions/{id}/commit", "commit", Role::client);
        add(Method::post, "/v1/branches:batch", "batch", Role::sidecar);
    }
    void add(Method method,
             std::string_view pattern,
             const std::string& name,
             Role role = Role::open) {
        router.add(method, pattern, role, [name](const Request& request, ResponseSink sink) {
            sink.send(text_response(200, name + ":" + std::string(request.path_parameter("id"))));
        });
    }
    Response call(Method method, std::string path) {
        const auto port = std::make_shared<FakeResponsePort>();
        Request request;
        request.method = method;
        request.path = std::move(path);
        router.dispatch(std::move(request), port->sink());
        EXPECT_TRUE(port->answered);
        EXPECT_FALSE(port->abandoned);
        return port->response;
    }
    Router router;
};

TEST_F(RouterTest, FindsRoutesAndParameters) {
    EXPECT_EQ(call(Method::get, "/").body, "root:");
    EXPECT_EQ(call(Method::get, "/v1/transactions").body, "list:");
    EXPECT_EQ(call(Method::post, "/v1/transactions").body, "begin:");
    EXPECT_EQ(call(Method::get, "/v1/transactions/abc").body, "show:abc");
    EXPECT_EQ(call(Method::post, "/v1/transactions/a%20b/commit").body, "commit:a b");
    EXPECT_EQ(call(Method::post, "/v1/branches:batch").body, "batch:");
    EXPECT_EQ(call(Method::post, "/v1/branches%3Abatch").body, "batch:");
}

TEST_F(RouterTest, ALiteralWinsOverAParameter) {
    EXPECT_EQ(call(Method::get, "/v1/transactions/summary").body, "summary:");
    EXPECT_EQ(call(Method::get, "/v1/transactions/%73ummary").body, "summary:");
}

TEST_F(RouterTest, HeadIsServedByGet) {
    EXPECT_EQ(call(Method::head, "/v1/transactions/abc").status, 200);
    EXPECT_EQ(call(Method::head, "/v1/branches:batch").status, 405);
}

TEST_F(RouterTest, WhatIsNotThereIsATyped404) {
    for (const char* path : {"/x",
                             "/v1/transactions/",
                             "/v1//transactions",
                             "/v1/transactions/a/b",
                             "/v1/transactions//commit",
                             "//"}) {
        const Response response = call(Method::get, path);
        EXPECT_EQ(response.status, 404) << path;
        EXPECT_EQ(response.content_type, kProblemContentType);
        EXPECT_NE(response.body.find("\"code\":\"no_such_route\""), std::string::npos);
    }
}

TEST_F(RouterTest, AnotherMethodIs405WithAllow) {
    const Response response = call(Method::delete_, "/v1/transactions");
    EXPECT_EQ(response.status, 405);
    EXPECT_EQ(response.headers.find("allow"), "GET, HEAD, OPTIONS, POST");
    EXPECT_EQ(call(Method::other, "/v1/transactions/abc").status, 405);
    EXPECT_EQ(call(Method::options, "/v1/transactions/abc/commit").status, 204);
}

TEST_F(RouterTest, PathsThatHideSomethingAre400) {
    for (const char* path : {"/v1/transactions/..",
                             "/v1/transactions/%2e%2e",
                             "/v1/transactions/a%2fcommit",
                             "/v1/transactions/%00",
                             "/v1/transactions/%0a",
                             "/v1/transactions/%g0",
                             "/v1/../v1/transactions"}) {
        EXPECT_EQ(call(Method::get, path).status, 400) << path;
    }
}

TEST_F(RouterTest, ABodyMustBeDeclaredAsJson) {
    const auto send = [this](std::string_view type, std::string body) {
        const auto port = std::make_shared<FakeResponsePort>();
        Request request;
        request.method = Method::post;
        request.path = "/v1/transactions";
        request.body = std::move(body);
        if (!type.empty()) {
            request.headers.add("Content-Type", type);
        }
        router.dispatch(std::move(request), port->sink());
        return port->response.status;
    };
    EXPECT_EQ(send("application/json", "{}"), 200);
    EXPECT_EQ(send("Application/JSON; charset=utf-8", "{}"), 200);
    EXPECT_EQ(send("", ""), 200);
    EXPECT_EQ(send("text/plain", ""), 200);
    EXPECT_EQ(send("", "{}"), 415);
    EXPECT_EQ(send("text/plain", "{}"), 415);
    EXPECT_EQ(send("application/x-www-form-urlencoded", "{}"), 415);
    EXPECT_EQ(send("application/jsonp", "{}"), 415);
}

TEST_F(RouterTest, TheAuthorizerIsAskedWithTheRole) {
    Role asked = Role::open;
    router.set_authorizer([&](const Request&, Role role) -> std::optional<Response> {
        asked = role;
        if (role == Role::sidecar) {
            return text_response(403, "no");
        }
        return std::nullopt;
    });
    EXPECT_EQ(call(Method::post, "/v1/branches:batch").status, 403);
    EXPECT_EQ(asked, Role::sidecar);
    EXPECT_EQ(call(Method::post, "/v1/transactions/a/commit").status, 200);
    EXPECT_EQ(asked, Role::client);
}

TEST_F(RouterTest, ListsItsRoutes) {
    const auto routes = router.routes();
    ASSERT_EQ(routes.size(), 7U);
    EXPECT_EQ(routes[5].pattern, "/v1/transactions/{id}/commit");
    EXPECT_EQ(routes[5].role, Role::client);
}

TEST(RouterDeathTest, ARouteIsAddedOnce) {
    Router router;
    const RouteHandler nothing = [](const Request&, const ResponseSink&) {};
    router.add(Method::get, "/a", Role::open, nothing);
    EXPECT_DEATH(router.add(Method::get, "/a", Role::open, nothing), "added once");
    EXPECT_DEATH(router.add(Method::get, "a", Role::open, nothing), "begins with");
    EXPECT_DEATH(router.add(Method::get, "/a{b}", Role::open, nothing), "whole segment");
}

}  // namespace
}  // namespace twofold::http
