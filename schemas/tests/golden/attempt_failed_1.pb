 00000000000000000000000000000001 00000000000000000000000000000002"default(•š»ÚÂğÖë2	api/api-1riworker-1+
engine_errorthe engine stoppedmodel ".
smollm2-135mapi-1 ıÿÿÿÿÿÿÿÿ()0€€ÌŸÂğÖë